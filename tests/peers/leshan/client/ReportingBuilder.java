import java.security.cert.Certificate;
import java.util.Collection;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ScheduledExecutorService;
import java.util.function.Consumer;
import java.util.stream.Collectors;

import org.eclipse.leshan.client.LeshanClient;
import org.eclipse.leshan.client.LeshanClientBuilder;
import org.eclipse.leshan.client.bootstrap.BootstrapConsistencyChecker;
import org.eclipse.leshan.client.bootstrap.BootstrapHandler;
import org.eclipse.leshan.client.endpoint.LwM2mClientEndpointsProvider;
import org.eclipse.leshan.client.engine.ClientEndpointNameProvider;
import org.eclipse.leshan.client.engine.RegistrationEngine;
import org.eclipse.leshan.client.engine.RegistrationEngineFactory;
import org.eclipse.leshan.client.request.DefaultDownlinkReceiver;
import org.eclipse.leshan.client.request.DefaultUplinkRequestSender;
import org.eclipse.leshan.client.request.DownlinkRequestReceiver;
import org.eclipse.leshan.client.request.UplinkRequestSender;
import org.eclipse.leshan.client.resource.LwM2mObjectEnabler;
import org.eclipse.leshan.client.resource.LwM2mObjectTree;
import org.eclipse.leshan.client.resource.LwM2mRootEnabler;
import org.eclipse.leshan.client.send.DataSender;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.client.servers.ServersInfoExtractor;
import org.eclipse.leshan.client.util.LinkFormatHelper;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.endpoint.EndPointUriHandler;
import org.eclipse.leshan.core.link.LinkSerializer;
import org.eclipse.leshan.core.link.lwm2m.attributes.LwM2mAttributeParser;
import org.eclipse.leshan.core.node.codec.DefaultLwM2mDecoder;
import org.eclipse.leshan.core.node.codec.DefaultLwM2mEncoder;
import org.eclipse.leshan.core.node.codec.LwM2mDecoder;
import org.eclipse.leshan.core.node.codec.LwM2mEncoder;
import org.eclipse.leshan.core.node.codec.LwM2mValueChecker;
import org.eclipse.leshan.core.node.codec.NodeDecoder;
import org.eclipse.leshan.core.node.codec.NodeEncoder;
import org.eclipse.leshan.core.request.BindingMode;
import org.eclipse.leshan.core.request.CompositeDownlinkRequest;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.CreateRequest;
import org.eclipse.leshan.core.request.DownlinkRequest;
import org.eclipse.leshan.core.request.ExecuteRequest;
import org.eclipse.leshan.core.request.RegisterRequest;
import org.eclipse.leshan.core.request.SimpleDownlinkRequest;
import org.eclipse.leshan.core.request.UplinkRequest;
import org.eclipse.leshan.core.request.WriteAttributesRequest;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.core.response.ErrorCallback;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ResponseCallback;
import org.eclipse.leshan.core.response.SendableResponse;

/**
 * Builds a client that reports every request of the server with its answer, and that registers with a chosen version.
 *
 * Leshan's engine always announces the newest version that it knows; older ones are put in on the way out.
 */
final class ReportingBuilder extends LeshanClientBuilder {
    private final String version;
    private final Consumer<String> say;

    ReportingBuilder(String endpoint, String version, Consumer<String> say) {
        super(endpoint);
        this.version = version;
        this.say = say;
    }

    /** Leaves it these Content-Formats only. */
    void setFormats(Collection<ContentFormat> formats) {
        Map<ContentFormat, NodeEncoder> encoders = new HashMap<>(DefaultLwM2mEncoder.getDefaultNodeEncoders(false));
        encoders.keySet().retainAll(formats);
        Map<ContentFormat, NodeDecoder> decoders = new HashMap<>(DefaultLwM2mDecoder.getDefaultNodeDecoders(false));
        decoders.keySet().retainAll(formats);
        setEncoder(new DefaultLwM2mEncoder(encoders, Map.of(), new LwM2mValueChecker()));
        setDecoder(new DefaultLwM2mDecoder(decoders));
    }

    @Override
    protected LeshanClient createLeshanClient(ClientEndpointNameProvider endpoint,
            List<? extends LwM2mObjectEnabler> objects, List<DataSender> senders, List<Certificate> trusted,
            RegistrationEngineFactory engine, BootstrapConsistencyChecker checker, Map<String, String> attributes,
            Map<String, String> bootstrapAttributes, LwM2mEncoder encoder, LwM2mDecoder decoder,
            ScheduledExecutorService executor, LinkSerializer links, LinkFormatHelper linkFormat,
            ServersInfoExtractor servers, LwM2mAttributeParser attributeParser, EndPointUriHandler uris,
            LwM2mClientEndpointsProvider endpoints) {
        return new LeshanClient(endpoint, objects, senders, trusted, engine, checker, attributes, bootstrapAttributes,
                encoder, decoder, executor, links, linkFormat, servers, attributeParser, uris, endpoints) {
            @Override
            protected DownlinkRequestReceiver createRequestReceiver(BootstrapHandler bootstrap, LwM2mRootEnabler root,
                    LwM2mObjectTree tree, RegistrationEngine registration) {
                return new Receiver(bootstrap, root, tree, registration);
            }

            @Override
            protected UplinkRequestSender createRequestSender(LwM2mClientEndpointsProvider provider) {
                // Called by the constructor of the superclass, but after our own fields were set.
                return new Sender(provider);
            }
        };
    }

    private final class Receiver extends DefaultDownlinkReceiver {
        Receiver(BootstrapHandler bootstrap, LwM2mRootEnabler root, LwM2mObjectTree tree, RegistrationEngine engine) {
            super(bootstrap, root, tree, engine);
        }

        @Override
        public <T extends LwM2mResponse> SendableResponse<T> requestReceived(LwM2mServer server,
                DownlinkRequest<T> request) {
            SendableResponse<T> answer = super.requestReceived(server, request);
            ResponseCode code = answer.getResponse().getCode();
            say.accept((verb(request) + " " + path(request) + " " + Reporter.dotted(code) + " " + detail(request))
                    .trim());
            return answer;
        }

        /** "read", "write", "write-attributes": the class of the request in the words of the specification. */
        private static String verb(DownlinkRequest<?> request) {
            return request.getClass().getSimpleName().replaceFirst("Request$", "").replaceAll("(?<=.)([A-Z])", "-$1")
                    .toLowerCase();
        }

        private static String path(DownlinkRequest<?> request) {
            if (request instanceof SimpleDownlinkRequest<?> simple) {
                return simple.getPath().toString();
            }
            return request instanceof CompositeDownlinkRequest<?> composite ? composite.getPaths().toString() : "/";
        }

        private static String detail(DownlinkRequest<?> request) {
            if (request instanceof WriteRequest write) {
                return (write.isReplaceRequest() ? "replace " : "partial ") + Texts.show(write.getNode());
            }
            if (request instanceof ExecuteRequest execute) {
                String arguments = execute.getArguments().serialize();
                return arguments == null ? "" : arguments;
            }
            if (request instanceof WriteAttributesRequest attributes) {
                return attributes.getAttributes().toString();
            }
            // Without an id of the server's choice there is no instance yet, just Resources.
            return request instanceof CreateRequest create && create.getObjectInstances() != null
                    ? create.getObjectInstances().stream().map(Texts::show).collect(Collectors.joining(" "))
                    : "";
        }
    }

    private final class Sender extends DefaultUplinkRequestSender {
        Sender(LwM2mClientEndpointsProvider provider) {
            super(provider);
        }

        @Override
        public <T extends LwM2mResponse> T send(LwM2mServer server, UplinkRequest<T> request, long timeout)
                throws InterruptedException {
            return super.send(server, versioned(request), timeout);
        }

        @Override
        public <T extends LwM2mResponse> void send(LwM2mServer server, UplinkRequest<T> request, long timeout,
                ResponseCallback<T> onResponse, ErrorCallback onError) {
            super.send(server, versioned(request), timeout, onResponse, onError);
        }

        @SuppressWarnings("unchecked") // a Register becomes a Register
        private <T extends LwM2mResponse> UplinkRequest<T> versioned(UplinkRequest<T> request) {
            if (!(request instanceof RegisterRequest register) || register.getLwVersion().equals(version)) {
                return request;
            }
            // LwM2M 1.0 says queue mode in the binding ("UQ"), later versions in a parameter of its own.
            EnumSet<BindingMode> binding = EnumSet.of(BindingMode.U);
            if (Boolean.TRUE.equals(register.getQueueMode())) {
                binding.add(BindingMode.Q);
            }
            return (UplinkRequest<T>) (UplinkRequest<?>) new RegisterRequest(register.getEndpointName(),
                    register.getLifetime(), version, binding, null,
                    register.getSmsNumber(), register.getObjectLinks(), register.getAdditionalAttributes());
        }
    }
}
