import java.util.function.Consumer;

import org.eclipse.leshan.client.observer.LwM2mClientObserverAdapter;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.request.DeregisterRequest;
import org.eclipse.leshan.core.request.RegisterRequest;
import org.eclipse.leshan.core.request.UpdateRequest;

/** Says how Register, Update and De-register ended. */
final class Reporter extends LwM2mClientObserverAdapter {
    private final Consumer<String> say;

    Reporter(Consumer<String> say) {
        this.say = say;
    }

    /** A code the way CoAP writes it: "2.05". */
    static String dotted(ResponseCode code) {
        return code == null ? "-" : code.getCode() / 100 + "." + String.format("%02d", code.getCode() % 100);
    }

    private void failed(String what, ResponseCode code, String message, Exception cause) {
        say.accept(what + "-failed " + dotted(code) + " " + (message == null ? String.valueOf(cause) : message));
    }

    @Override
    public void onRegistrationSuccess(LwM2mServer server, RegisterRequest request, String registration) {
        say.accept("registered " + registration);
    }

    @Override
    public void onRegistrationFailure(LwM2mServer server, RegisterRequest request, ResponseCode code, String message,
            Exception cause) {
        failed("registration", code, message, cause);
    }

    @Override
    public void onRegistrationTimeout(LwM2mServer server, RegisterRequest request) {
        say.accept("registration-timeout");
    }

    @Override
    public void onUpdateSuccess(LwM2mServer server, UpdateRequest request) {
        say.accept("updated");
    }

    @Override
    public void onUpdateFailure(LwM2mServer server, UpdateRequest request, ResponseCode code, String message,
            Exception cause) {
        failed("update", code, message, cause);
    }

    @Override
    public void onUpdateTimeout(LwM2mServer server, UpdateRequest request) {
        say.accept("update-timeout");
    }

    @Override
    public void onDeregistrationSuccess(LwM2mServer server, DeregisterRequest request) {
        say.accept("deregistered");
    }

    @Override
    public void onDeregistrationFailure(LwM2mServer server, DeregisterRequest request, ResponseCode code,
            String message, Exception cause) {
        failed("deregistration", code, message, cause);
    }

    @Override
    public void onDeregistrationTimeout(LwM2mServer server, DeregisterRequest request) {
        say.accept("deregistration-timeout");
    }

    @Override
    public void onUnexpectedError(Throwable error) {
        say.accept("error " + error);
    }
}
