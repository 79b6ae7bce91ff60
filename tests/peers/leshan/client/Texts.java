import java.nio.charset.StandardCharsets;
import java.util.Date;
import java.util.HexFormat;
import java.util.Map;
import java.util.StringJoiner;
import java.util.TreeMap;

import org.eclipse.leshan.core.link.DefaultLinkSerializer;
import org.eclipse.leshan.core.link.Link;
import org.eclipse.leshan.core.link.LinkParseException;
import org.eclipse.leshan.core.link.lwm2m.DefaultLwM2mLinkParser;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mResourceInstance;
import org.eclipse.leshan.core.node.ObjectLink;
import org.eclipse.leshan.core.util.datatype.ULong;

/** Values as one line of text, both ways: opaque as hex, times as seconds since 1970, object links as "3:0". */
final class Texts {
    private Texts() {
    }

    static Object parse(Type type, String text) {
        switch (type) {
        case INTEGER:
            return Long.valueOf(text);
        case UNSIGNED_INTEGER:
            return ULong.valueOf(text);
        case FLOAT:
            return Double.valueOf(text);
        case BOOLEAN:
            return Boolean.valueOf(text);
        case OPAQUE:
            return HexFormat.of().parseHex(text);
        case TIME:
            return new Date(Long.parseLong(text) * 1000);
        case OBJLNK:
            return ObjectLink.decodeFromString(text);
        case CORELINK:
            try {
                return new DefaultLwM2mLinkParser().parseCoreLinkFormat(text.getBytes(StandardCharsets.UTF_8));
            } catch (LinkParseException error) {
                throw new IllegalArgumentException(error);
            }
        default:
            return text;
        }
    }

    static String show(Object value) {
        if (value instanceof byte[] bytes) {
            return HexFormat.of().formatHex(bytes);
        }
        if (value instanceof Date date) {
            return Long.toString(date.getTime() / 1000);
        }
        if (value instanceof ObjectLink link) {
            return link.encodeToString();
        }
        if (value instanceof Link[] links) {
            return new DefaultLinkSerializer().serializeCoreLinkFormat(links);
        }
        return String.valueOf(value);
    }

    /** A written node: the bare value of a Resource, else `id=value` pairs of everything below it. */
    static String show(LwM2mNode node) {
        if (node instanceof LwM2mResourceInstance instance) {
            return show(instance.getValue());
        }
        if (node instanceof LwM2mResource resource && !resource.isMultiInstances()) {
            return show(resource.getValue());
        }
        Map<?, ?> below = Map.of();
        if (node instanceof LwM2mResource resource) {
            below = resource.getInstances();
        } else if (node instanceof LwM2mObjectInstance instance) {
            below = instance.getResources();
        }
        StringJoiner pairs = new StringJoiner(",", "{", "}");
        new TreeMap<>(below).forEach((id, each) -> pairs.add(id + "=" + show((LwM2mNode) each)));
        return pairs.toString();
    }
}
