import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.node.LwM2mMultipleResource;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mObject;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mResourceInstance;
import org.eclipse.leshan.core.node.LwM2mSingleResource;

import com.fasterxml.jackson.databind.JsonNode;

/** Leshan's trees of nodes as flat lists of entries, both ways. */
final class Nodes {
    /** One value, or an empty container where `value` is null. */
    record Entry(LwM2mPath path, String value, String time) {
        static Entry of(JsonNode json) {
            return new Entry(new LwM2mPath(json.get("path").asText()), json.path("value").asText(null),
                    json.path("time").asText(null));
        }

        Map<String, String> shown() {
            Map<String, String> found = new HashMap<>();
            found.put("path", path.toString());
            found.put("value", value);
            found.put("time", time);
            return found;
        }
    }

    private final LwM2mModel model;

    Nodes(LwM2mModel model) {
        this.model = model;
    }

    /** The node at `path` that the entries make. */
    LwM2mNode build(LwM2mPath path, List<Entry> entries) {
        if (path.isObject()) {
            List<LwM2mObjectInstance> instances = new ArrayList<>();
            below(path, entries).forEach((child, each) -> instances.add((LwM2mObjectInstance) build(child, each)));
            return new LwM2mObject(path.getObjectId(), instances);
        }
        if (path.isObjectInstance()) {
            List<LwM2mResource> resources = new ArrayList<>();
            below(path, entries).forEach((child, each) -> resources.add((LwM2mResource) build(child, each)));
            return new LwM2mObjectInstance(path.getObjectInstanceId(), resources);
        }
        ResourceModel resource = model.getResourceModel(path.getObjectId(), path.getResourceId());
        if (path.isResourceInstance()) {
            return LwM2mResourceInstance.newInstance(path.getResourceInstanceId(),
                    Texts.parse(resource.type, entries.get(0).value()), resource.type);
        }
        if (!resource.multiple) {
            return LwM2mSingleResource.newResource(path.getResourceId(),
                    Texts.parse(resource.type, entries.get(0).value()), resource.type);
        }
        List<LwM2mResourceInstance> instances = new ArrayList<>();
        below(path, entries).forEach((child, each) -> instances.add((LwM2mResourceInstance) build(child, each)));
        return new LwM2mMultipleResource(path.getResourceId(), resource.type, instances);
    }

    private static Map<LwM2mPath, List<Entry>> below(LwM2mPath path, List<Entry> entries) {
        Map<LwM2mPath, List<Entry>> found = new LinkedHashMap<>();
        int depth = path.toString().split("/").length;
        for (Entry entry : entries) {
            String[] ids = entry.path().toString().split("/");
            if (ids.length > depth) {
                found.computeIfAbsent(path.append(ids[depth]), key -> new ArrayList<>()).add(entry);
            }
        }
        return found;
    }

    /** Add the entries of a node; in the order of ids, as Leshan's maps have none. */
    static void flatten(LwM2mPath path, LwM2mNode node, String time, List<Entry> found) {
        if (node instanceof LwM2mSingleResource resource) {
            found.add(new Entry(path, Texts.show(resource.getValue()), time));
        } else if (node instanceof LwM2mResourceInstance instance) {
            found.add(new Entry(path, Texts.show(instance.getValue()), time));
        } else {
            Map<Integer, ? extends LwM2mNode> below = children(node);
            if (below.isEmpty()) {
                found.add(new Entry(path, null, time));
            }
            new TreeMap<>(below).forEach((id, each) -> flatten(path.append(id), each, time, found));
        }
    }

    private static Map<Integer, ? extends LwM2mNode> children(LwM2mNode node) {
        if (node instanceof LwM2mObject object) {
            return object.getInstances();
        }
        if (node instanceof LwM2mObjectInstance instance) {
            return instance.getResources();
        }
        return node == null ? Map.of() : ((LwM2mResource) node).getInstances();
    }
}
