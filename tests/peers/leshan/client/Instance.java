import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;

import org.eclipse.leshan.client.resource.BaseInstanceEnabler;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.ExecuteResponse;
import org.eclipse.leshan.core.response.ReadResponse;
import org.eclipse.leshan.core.response.WriteResponse;

/**
 * An Object Instance whose Resources are a table of values and a table of actions.
 *
 * The value of a Resource with several instances is a map of Resource Instance id to value. What may be read, written or
 * executed is Leshan's own check of the object model; this class only keeps the values. All methods lock: requests, commands
 * and the timer come from different threads.
 */
final class Instance extends BaseInstanceEnabler {
    private final Map<Integer, Object> values = new TreeMap<>();
    private final Map<Integer, Consumer<Instance>> actions = new TreeMap<>();

    Instance(int id) {
        super(id);
    }

    Instance with(int resource, Object value) {
        values.put(resource, value);
        return this;
    }

    Instance action(int resource, Consumer<Instance> action) {
        actions.put(resource, action);
        return this;
    }

    synchronized Object value(int resource) {
        return values.get(resource);
    }

    /** Changes a value from inside the device and tells the observers. */
    void set(int resource, Object value) {
        synchronized (this) {
            values.put(resource, value);
        }
        // Outside the lock: Leshan reads the new value from here on another thread and waits for it.
        fireResourceChange(resource);
    }

    /** A copy of the Resource Instances in `value`; empty when it has none. */
    private static Map<Integer, Object> instances(Object value) {
        Map<Integer, Object> copy = new TreeMap<>();
        if (value instanceof Map<?, ?> map) {
            map.forEach((id, each) -> copy.put((Integer) id, each));
        }
        return copy;
    }

    @Override
    public synchronized ReadResponse read(LwM2mServer server, int resource) {
        Object value = values.get(resource);
        if (value == null) {
            return ReadResponse.notFound();
        }
        ResourceModel model = getModel().resources.get(resource);
        if (model.multiple) {
            return ReadResponse.success(resource, instances(value), model.type);
        }
        return ReadResponse.success(LwM2mSingleResource.newResource(resource, value, model.type));
    }

    @Override
    public WriteResponse write(LwM2mServer server, boolean replace, int resource, LwM2mResource written) {
        if (!written.isMultiInstances()) {
            set(resource, written.getValue());
            return WriteResponse.success();
        }
        Map<Integer, Object> instances = replace ? new TreeMap<>() : instances(value(resource));
        written.getInstances().forEach((id, instance) -> instances.put(id, instance.getValue()));
        set(resource, instances);
        return WriteResponse.success();
    }

    @Override
    public ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
        Consumer<Instance> action = actions.get(resource);
        if (action == null) {
            return ExecuteResponse.notFound();
        }
        action.accept(this);
        return ExecuteResponse.success();
    }

    @Override
    public synchronized List<Integer> getAvailableResourceIds(ObjectModel model) {
        List<Integer> ids = new ArrayList<>(values.keySet());
        ids.addAll(actions.keySet());
        ids.sort(null);
        return ids;
    }
}
