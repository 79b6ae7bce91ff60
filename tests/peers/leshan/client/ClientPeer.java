import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.leshan.client.LeshanClient;
import org.eclipse.leshan.client.endpoint.ClientEndpointToolbox;
import org.eclipse.leshan.client.engine.DefaultRegistrationEngineFactory;
import org.eclipse.leshan.client.object.LwM2mTestObject;
import org.eclipse.leshan.client.object.Security;
import org.eclipse.leshan.client.object.Server;
import org.eclipse.leshan.client.resource.BaseInstanceEnablerFactory;
import org.eclipse.leshan.client.resource.ObjectsInitializer;
import org.eclipse.leshan.client.send.ManualDataSender;
import org.eclipse.leshan.client.send.NoDataException;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.client.servers.ServerInfo;
import org.eclipse.leshan.core.CertificateUsage;
import org.eclipse.leshan.core.LwM2mId;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.transport.californium.client.endpoint.CaliforniumClientEndpointFactory;
import org.eclipse.leshan.transport.californium.client.endpoint.CaliforniumClientEndpointsProvider;
import org.eclipse.leshan.transport.californium.client.endpoint.coap.CoapClientEndpointFactory;
import org.eclipse.leshan.transport.californium.client.endpoint.coap.CoapClientProtocolProvider;
import org.eclipse.leshan.transport.californium.client.endpoint.coaps.CoapsClientProtocolProvider;

/**
 * A device for the tests: Eclipse Leshan's client engine under arguments, commands and one line per thing that happens.
 *
 * Arguments: {@code --server coap://HOST:PORT --endpoint NAME [--lifetime SECONDS] [--version 1.0|1.1] [--queue]
 * [--local-port PORT] [--period SECONDS] [--formats NUMBER,NUMBER...] [--attribute KEY=VALUE]...}; for {@code coaps://} also
 * {@code --psk HEX --identity NAME} or {@code --cert FILE --key FILE --server-cert FILE [--usage NUMBER]} (DER), and
 * {@code --cid LENGTH}. With a period the
 * battery level and the temperatures move by themselves; without one nothing changes unless a command says so. With
 * formats it knows no others.
 *
 * Commands, one a line on standard input: {@code set PATH VALUE}, {@code update}, {@code deregister}, {@code register},
 * {@code send FORMAT PATH...} (a Send of the values as they are), {@code collect PATH} and {@code flush FORMAT} (a Send of
 * what was collected, with its times), {@code echo WORD} (said when all before it is done), {@code stop}. The end of the input stops it too, without De-register, so that no peer outlives its test.
 *
 * The lines that it prints are listed in tests/peers/README.md.
 */
public final class ClientPeer {
    private static final int SHORT_SERVER_ID = 123;
    private static final long SEND_TIMEOUT = 5000;
    private static final PrintStream OUT = new PrintStream(new FileOutputStream(FileDescriptor.out), true,
            StandardCharsets.UTF_8);

    private final Map<String, Instance> instances = new HashMap<>();
    private final LwM2mModel model;
    private final LeshanClient client;

    private ClientPeer(Map<String, String> options, Map<String, String> attributes) throws Exception {
        String version = options.getOrDefault("version", "1.1");
        model = Models.all(version);
        ObjectsInitializer objects = new ObjectsInitializer(model);
        long lifetime = Long.parseLong(options.getOrDefault("lifetime", "300"));
        objects.setInstancesForObject(LwM2mId.SECURITY, security(options));
        objects.setInstancesForObject(LwM2mId.SERVER, new Server(SHORT_SERVER_ID, lifetime));
        objects.setFactoryForObject(LwM2mId.DEVICE, (object, id, used) -> device());
        objects.setInstancesForObject(LwM2mId.DEVICE, keep(LwM2mId.DEVICE, device()));
        objects.setFactoryForObject(Models.TEMPERATURE, (object, id, used) -> {
            Instance made = temperature(id == null ? BaseInstanceEnablerFactory.generateNewInstanceId(used) : id, 0);
            // Values are written before the instance becomes part of the tree, which would tell it its model.
            made.setModel(object);
            return keep(Models.TEMPERATURE, made);
        });
        objects.setInstancesForObject(Models.TEMPERATURE, keep(Models.TEMPERATURE, temperature(0, 20.5)),
                keep(Models.TEMPERATURE, temperature(1, -4.25)));
        objects.setClassForObject(Models.TEST_1_0, LwM2mTestObject.class);
        objects.setInstancesForObject(Models.TEST_1_0, new LwM2mTestObject());
        if (!version.equals("1.0")) {
            objects.setClassForObject(Models.TEST_1_1, LwM2mTestObject.class);
            objects.setInstancesForObject(Models.TEST_1_1, new LwM2mTestObject());
        }

        ReportingBuilder builder = new ReportingBuilder(options.get("endpoint"), version, ClientPeer::say);
        if (options.containsKey("formats")) {
            builder.setFormats(Arrays.stream(options.get("formats").split(","))
                    .map(number -> ContentFormat.fromCode(Integer.parseInt(number))).toList());
        }
        builder.setObjects(objects.createAll());
        builder.setAdditionalAttributes(attributes);
        builder.setDataSenders(new ManualDataSender());
        builder.setRegistrationEngineFactory(new DefaultRegistrationEngineFactory() //
                .setQueueMode(options.containsKey("queue")) //
                .setRetryWaitingTimeInMs(1000));
        builder.setEndpointsProviders(endpoint(Integer.parseInt(options.getOrDefault("local-port", "0")),
                Integer.parseInt(options.getOrDefault("cid", "-1"))));
        client = builder.build();
        client.addObserver(new Reporter(ClientPeer::say));
    }

    /** One whole line, whichever thread it comes from. */
    static void say(String line) {
        synchronized (OUT) {
            OUT.println(line);
        }
    }

    private Instance keep(int object, Instance instance) {
        instances.put(object + "/" + instance.getId(), instance);
        return instance;
    }

    private static Instance device() {
        return new Instance(0).with(0, "Example Works").with(1, "Model 7").with(2, "SN-0001").with(3, "1.2.3")
                .with(6, Map.of(0, 1L, 1, 5L)).with(7, Map.of(0, 3800L, 1, 5000L)).with(9, 95L)
                .with(11, Map.of(0, 0L)).with(13, new Date(1700000000000L)).with(14, "+01").with(15, "Europe/Berlin")
                .with(16, "U").action(4, each -> say("rebooting")).action(12, each -> each.set(11, Map.of(0, 0L)));
    }

    private static Instance temperature(int id, double value) {
        return new Instance(id).with(5700, value).with(5601, value).with(5602, value).with(5603, -40.0)
                .with(5604, 125.0).with(5701, "Cel").with(5750, "room " + id).action(5605, each -> {
                    each.set(5601, each.value(5700));
                    each.set(5602, each.value(5700));
                });
    }

    /** The server, and what is needed to be known there. */
    private static Security security(Map<String, String> options) throws Exception {
        String server = options.get("server");
        if (options.containsKey("psk")) {
            return Security.psk(server, SHORT_SERVER_ID, options.get("identity").getBytes(StandardCharsets.UTF_8),
                    HexFormat.of().parseHex(options.get("psk")));
        }
        if (options.containsKey("cert")) {
            return Security.x509(server, SHORT_SERVER_ID, Files.readAllBytes(Path.of(options.get("cert"))),
                    Files.readAllBytes(Path.of(options.get("key"))), Files.readAllBytes(Path.of(options.get("server-cert"))),
                    CertificateUsage.fromCode(Integer.parseInt(options.getOrDefault("usage", "3"))).code);
        }
        return Security.noSec(server, SHORT_SERVER_ID);
    }

    /**
     * CoAP on loopback, from a chosen local port (0 = any) where it is plain; with DTLS a Connection ID of that length
     * (negative for none).
     */
    private static CaliforniumClientEndpointsProvider endpoint(int port, int cid) throws Exception {
        CoapClientProtocolProvider protocol = new CoapClientProtocolProvider() {
            @Override
            public CaliforniumClientEndpointFactory createDefaultEndpointFactory() {
                return new CoapClientEndpointFactory() {
                    @Override
                    protected CoapEndpoint.Builder createEndpointBuilder(InetSocketAddress address, ServerInfo server,
                            Configuration configuration, ClientEndpointToolbox toolbox) {
                        return super.createEndpointBuilder(new InetSocketAddress(address.getAddress(), port), server,
                                configuration, toolbox);
                    }
                };
            }
        };
        CaliforniumClientEndpointsProvider.Builder builder = new CaliforniumClientEndpointsProvider.Builder(protocol,
                new CoapsClientProtocolProvider());
        Configuration configuration = builder.createDefaultConfiguration();
        if (cid >= 0) {
            configuration.set(DtlsConfig.DTLS_CONNECTION_ID_LENGTH, cid);
        }
        return builder.setConfiguration(configuration).setClientAddress(InetAddress.getByName("127.0.0.1")).build();
    }

    /** Moves the battery level and the temperatures a little. */
    private void move(int step) {
        instances.get("3/0").set(9, (long) Math.floorMod(95 - step, 101));
        instances.get("3303/0").set(5700, 20.5 + step % 10 * 0.5);
        instances.get("3303/1").set(5700, -4.25 - step % 10 * 0.25);
    }

    private void set(String target, String text) {
        LwM2mPath path = new LwM2mPath(target);
        ResourceModel resource = model.getResourceModel(path.getObjectId(), path.getResourceId());
        Instance instance = instances.get(path.getObjectId() + "/" + path.getObjectInstanceId());
        instance.set(path.getResourceId(), Texts.parse(resource.type, text));
    }

    private void send(ContentFormat format, List<String> paths) {
        client.getSendService().sendData(server(), format, paths, SEND_TIMEOUT,
                answer -> say("send " + Reporter.dotted(answer.getCode())), error -> say("send-failed " + error));
    }

    private void flush(ContentFormat format) {
        try {
            collected().sendCollectedData(server(), format, SEND_TIMEOUT, false);
        } catch (NoDataException nothing) {
            throw new IllegalArgumentException("nothing was collected");
        }
    }

    private LwM2mServer server() {
        return client.getRegisteredServers().values().iterator().next();
    }

    private ManualDataSender collected() {
        return client.getSendService().getDataSender(ManualDataSender.DEFAULT_NAME, ManualDataSender.class);
    }

    /** Carries one command out; false when it was the last. */
    private boolean command(String line) {
        List<String> words = List.of(line.trim().split(" ", 3));
        switch (words.get(0)) {
        case "set" -> set(words.get(1), words.get(2));
        case "echo" -> OUT.println("echo " + words.get(1));
        case "send" -> send(ContentFormat.fromName(words.get(1)), List.of(words.get(2).split(" ")));
        case "collect" -> collected().collectData(List.of(new LwM2mPath(words.get(1))));
        case "flush" -> flush(ContentFormat.fromName(words.get(1)));
        case "update" -> client.triggerRegistrationUpdate();
        case "register" -> client.start();
        case "deregister" -> client.stop(true);
        case "stop" -> {
            client.destroy(true);
            return false;
        }
        default -> throw new IllegalArgumentException("unknown command " + words.get(0));
        }
        return true;
    }

    private void run(double period) throws Exception {
        client.start();
        if (period > 0) {
            ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
            int[] step = { 0 };
            long millis = (long) (period * 1000);
            timer.scheduleAtFixedRate(() -> move(++step[0]), millis, millis, TimeUnit.MILLISECONDS);
        }
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            try {
                if (!command(line)) {
                    say("stopped");
                    return;
                }
            } catch (RuntimeException error) {
                say("error " + error);
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        Map<String, String> attributes = new HashMap<>();
        for (int index = 0; index < arguments.length; index++) {
            String name = arguments[index].replaceFirst("^--", "");
            String value = name.equals("queue") ? "" : arguments[++index];
            if (name.equals("attribute")) {
                String[] pair = value.split("=", 2);
                attributes.put(pair[0], pair[1]);
            } else {
                options.put(name, value);
            }
        }
        new ClientPeer(options, attributes).run(Double.parseDouble(options.getOrDefault("period", "0")));
        System.exit(0);
    }
}
