import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.core.link.lwm2m.attributes.DefaultLwM2mAttributeParser;
import org.eclipse.leshan.core.link.lwm2m.attributes.LwM2mAttributeSet;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.core.request.CancelCompositeObservationRequest;
import org.eclipse.leshan.core.request.CancelObservationRequest;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.CreateRequest;
import org.eclipse.leshan.core.request.DeleteRequest;
import org.eclipse.leshan.core.request.DiscoverRequest;
import org.eclipse.leshan.core.request.DownlinkDeviceManagementRequest;
import org.eclipse.leshan.core.request.ExecuteRequest;
import org.eclipse.leshan.core.request.ObserveCompositeRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.ReadCompositeRequest;
import org.eclipse.leshan.core.request.ReadRequest;
import org.eclipse.leshan.core.request.WriteAttributesRequest;
import org.eclipse.leshan.core.request.WriteCompositeRequest;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.core.response.CreateResponse;
import org.eclipse.leshan.core.response.DiscoverResponse;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.core.response.ReadCompositeResponse;
import org.eclipse.leshan.core.response.ReadResponse;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.LeshanServerBuilder;
import org.eclipse.leshan.server.endpoint.LwM2mServerEndpoint;
import org.eclipse.leshan.server.model.StaticModelProvider;
import org.eclipse.leshan.server.observation.ObservationListener;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationListener;
import org.eclipse.leshan.server.registration.RegistrationUpdate;
import org.eclipse.leshan.servers.security.InMemorySecurityStore;
import org.eclipse.leshan.servers.security.SecurityInfo;
import org.eclipse.leshan.transport.californium.server.endpoint.CaliforniumServerEndpointsProvider;
import org.eclipse.leshan.transport.californium.server.endpoint.coap.CoapServerProtocolProvider;
import org.eclipse.leshan.transport.californium.server.endpoint.coaps.CoapsServerProtocolProvider;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

/**
 * Leshan's server engine on a free port, which its first line tells: a line of JSON in for each request to a device, lines
 * of JSON out.
 *
 * Arguments for {@code coaps://}: {@code --endpoint NAME} with {@code --psk HEX --identity NAME} or
 * {@code --cert FILE --key FILE --ca FILE} (DER), and {@code --cid LENGTH}.
 *
 * In: {@code {"do": VERB, "endpoint": NAME, "format": NUMBER, "paths": [PATH...], "entries": [ENTRY...], "text": TEXT}}.
 * A verb is read, replace, update, create, delete, execute (the text is its arguments), discover, attributes (the text is
 * the query), observe, read-composite, write-composite, observe-composite, or cancel and forget, which are about the last
 * observation. An entry is that of {@link CodecPeer}. Out: {@code {"registered": NAME}}, {@code {"answer": CODE, "entries":
 * [...], "links": [...], "location": PATH, "words": TEXT}}, {@code {"notified": [ENTRY...], "code": CODE}}, {@code {"ended":
 * true}} and {@code {"error": TEXT}}.
 */
public final class ServerPeer implements RegistrationListener, ObservationListener {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final long PATIENCE = 10_000;

    private final LwM2mModel model = Models.all("1.1");
    private final Nodes nodes = new Nodes(model);
    private final PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true,
            StandardCharsets.UTF_8);
    private final LeshanServer server;
    private Observation observation;

    private ServerPeer(Map<String, String> options) throws Exception {
        CaliforniumServerEndpointsProvider.Builder endpoints = new CaliforniumServerEndpointsProvider.Builder(
                new CoapServerProtocolProvider(), new CoapsServerProtocolProvider());
        int cid = Integer.parseInt(options.getOrDefault("cid", "-1"));
        endpoints.setConfiguration(configuration -> {
            if (cid >= 0) {
                configuration.set(DtlsConfig.DTLS_CONNECTION_ID_LENGTH, cid);
            }
        });
        endpoints.addEndpoint("coap://127.0.0.1:0");
        LeshanServerBuilder builder = new LeshanServerBuilder().setObjectModelProvider(new StaticModelProvider(model));
        if (options.containsKey("psk") || options.containsKey("cert")) {
            secure(builder, options);
            endpoints.addEndpoint("coaps://127.0.0.1:0");
        }
        server = builder.setEndpointsProviders(endpoints.build()).build();
    }

    private static void secure(LeshanServerBuilder builder, Map<String, String> options) throws Exception {
        InMemorySecurityStore store = new InMemorySecurityStore();
        String endpoint = options.get("endpoint");
        if (options.containsKey("psk")) {
            store.add(SecurityInfo.newPreSharedKeyInfo(endpoint, options.get("identity"),
                    HexFormat.of().parseHex(options.get("psk"))));
        } else {
            store.add(SecurityInfo.newX509CertInfo(endpoint));
            builder.setPrivateKey(KeyFactory.getInstance("EC")
                    .generatePrivate(new PKCS8EncodedKeySpec(Files.readAllBytes(Path.of(options.get("key"))))));
            builder.setCertificateChain(new X509Certificate[] { certificate(options.get("cert")) });
            builder.setTrustedCertificates(new X509Certificate[] { certificate(options.get("ca")) });
        }
        builder.setSecurityStore(store);
    }

    private static X509Certificate certificate(String file) throws Exception {
        try (InputStream der = Files.newInputStream(Path.of(file))) {
            return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(der);
        }
    }

    private void start() {
        server.getRegistrationService().addListener(this);
        server.getObservationService().addListener(this);
        server.start();
        LwM2mServerEndpoint secure = server.getEndpoint(Protocol.COAPS);
        say(Map.of("started", server.getEndpoint(Protocol.COAP).getURI().toString(), "secure",
                secure == null ? "" : secure.getURI().toString()));
    }

    private synchronized void say(Map<String, ?> line) {
        try {
            out.println(JSON.writeValueAsString(line));
        } catch (java.io.IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }

    private Map<String, Object> answer(JsonNode task) throws Exception {
        if (task.get("do").asText().equals("forget")) {
            server.getObservationService().cancelObservation(observation);
            return Map.of("answer", "forgotten");
        }
        Registration device = server.getRegistrationService().getByEndpoint(task.get("endpoint").asText());
        LwM2mResponse response = server.send(device, request(task), PATIENCE);
        Map<String, Object> answer = new HashMap<>();
        if (response == null) {
            answer.put("answer", "none");
            return answer;
        }
        answer.put("answer", response.getCode().toString());
        answer.put("words", response.getErrorMessage());
        if (response instanceof ReadResponse read && read.isSuccess() && task.path("paths").has(0)) {
            LwM2mPath path = new LwM2mPath(task.get("paths").get(0).asText());
            answer.put("entries", flat(Collections.singletonMap(path, read.getContent())));
        } else if (response instanceof ReadCompositeResponse read && read.isSuccess()) {
            answer.put("entries", flat(read.getContent()));
        }
        if (response instanceof ObserveCompositeResponse observed && observed.isSuccess()) {
            observation = observed.getObservation();
        } else if (response instanceof ObserveResponse observed && observed.isSuccess()) {
            observation = observed.getObservation();
        } else if (response instanceof DiscoverResponse discovered && discovered.isSuccess()) {
            answer.put("links", Arrays.stream(discovered.getObjectLinks()).map(String::valueOf).toList());
        } else if (response instanceof CreateResponse created) {
            answer.put("location", created.getLocation());
        }
        return answer;
    }

    private DownlinkDeviceManagementRequest<? extends LwM2mResponse> request(JsonNode task) throws Exception {
        ContentFormat format = ContentFormat.fromCode(task.get("format").asInt());
        List<LwM2mPath> paths = new ArrayList<>();
        task.path("paths").forEach(each -> paths.add(new LwM2mPath(each.asText())));
        List<Nodes.Entry> entries = new ArrayList<>();
        task.path("entries").forEach(each -> entries.add(Nodes.Entry.of(each)));
        String text = task.path("text").asText(null);
        switch (task.get("do").asText()) {
        case "execute":
            return new ExecuteRequest(paths.get(0).toString(), text);
        case "delete":
            return new DeleteRequest(paths.get(0).toString());
        case "discover":
            return new DiscoverRequest(paths.get(0).toString());
        case "attributes":
            return new WriteAttributesRequest(paths.get(0),
                    new LwM2mAttributeSet(new DefaultLwM2mAttributeParser().parseUriQuery(text)));
        case "observe":
            return new ObserveRequest(format, paths.get(0).toString());
        case "read":
            return new ReadRequest(format, paths.get(0).toString());
        case "replace":
            return write(WriteRequest.Mode.REPLACE, format, paths.get(0), entries);
        case "update":
            return write(WriteRequest.Mode.UPDATE, format, paths.get(0), entries);
        case "create":
            if (paths.get(0).isObject()) {
                // Entries are those of an instance whose id nobody knows yet, under any id.
                LwM2mPath instance = entries.get(0).path().toObjectInstancePath();
                return new CreateRequest(format, paths.get(0).getObjectId(),
                        ((LwM2mObjectInstance) nodes.build(instance, entries)).getResources().values());
            }
            return new CreateRequest(format, paths.get(0).getObjectId(),
                    (LwM2mObjectInstance) nodes.build(paths.get(0), entries));
        case "read-composite":
            return new ReadCompositeRequest(paths, format, format, null);
        case "write-composite":
            Map<LwM2mPath, LwM2mNode> written = new LinkedHashMap<>();
            entries.forEach(each -> written.put(each.path(), nodes.build(each.path(), List.of(each))));
            return new WriteCompositeRequest(format, written, null);
        case "observe-composite":
            return new ObserveCompositeRequest(format, format, paths);
        case "cancel":
            return observation instanceof CompositeObservation composite
                    ? new CancelCompositeObservationRequest(composite)
                    : new CancelObservationRequest((SingleObservation) observation);
        default:
            throw new IllegalArgumentException("unknown verb in " + task);
        }
    }

    private WriteRequest write(WriteRequest.Mode mode, ContentFormat format, LwM2mPath path,
            List<Nodes.Entry> entries) {
        return new WriteRequest(mode, format, path.toString(), nodes.build(path, entries));
    }

    private static List<Map<String, String>> flat(Map<LwM2mPath, LwM2mNode> content) {
        List<Nodes.Entry> found = new ArrayList<>();
        content.forEach((path, node) -> Nodes.flatten(path, node, null, found));
        return found.stream().map(Nodes.Entry::shown).toList();
    }

    @Override
    public void registered(Registration device, Registration old, Collection<Observation> lost) {
        say(Map.of("registered", device.getEndpoint()));
    }

    @Override
    public void updated(RegistrationUpdate update, Registration device, Registration old) {
        say(Map.of("updated", device.getEndpoint()));
    }

    @Override
    public void unregistered(Registration device, Collection<Observation> lost, boolean expired, Registration next) {
        say(Map.of("unregistered", device.getEndpoint()));
    }

    @Override
    public void newObservation(Observation made, Registration device) {
    }

    @Override
    public void cancelled(Observation ended) {
        say(Map.of("ended", true));
    }

    @Override
    public void onResponse(SingleObservation of, Registration device, ObserveResponse response) {
        say(Map.of("notified", response.isSuccess() ? flat(Map.of(of.getPath(), response.getContent())) : List.of(),
                "code", response.getCode().toString()));
    }

    @Override
    public void onResponse(CompositeObservation of, Registration device, ObserveCompositeResponse response) {
        say(Map.of("notified", flat(response.getContent()), "code", response.getCode().toString()));
    }

    @Override
    public void onError(Observation of, Registration device, Exception error) {
        say(Map.of("error", String.valueOf(error)));
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Map<String, String> options = new HashMap<>();
        for (int index = 0; index < arguments.length; index += 2) {
            options.put(arguments[index].replaceFirst("^--", ""), arguments[index + 1]);
        }
        ServerPeer peer = new ServerPeer(options);
        peer.start();
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            try {
                peer.say(peer.answer(JSON.readTree(line)));
            } catch (Exception error) {
                peer.say(Map.of("error", String.valueOf(error)));
            }
        }
        System.exit(0);
    }
}
