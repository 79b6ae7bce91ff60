import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.TimestampedLwM2mNode;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.node.codec.DefaultLwM2mDecoder;
import org.eclipse.leshan.core.node.codec.DefaultLwM2mEncoder;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.util.TimestampUtil;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

/**
 * Leshan's codecs without its client or server: a line of JSON in for each thing to do, a line of JSON out.
 *
 * In: {@code {"do": "encode", "shape": S, "format": NUMBER, "root": ROOT, "paths": [PATH...], "entries": [ENTRY...]}} or
 * {@code {"do": "decode", "shape": S, "format": NUMBER, "root": ROOT, "paths": [PATH...], "payload": HEX}}. A shape is
 * {@code node} (one path), {@code history} (one path, with times), {@code nodes} (composite), {@code send} (composite with
 * times; no paths to decode) or {@code paths} (no entries). An entry is {@code {"path": PATH, "value": TEXT, "time":
 * SECONDS}}; without a value it is an empty container, and the value's form is that of {@link Texts}.
 *
 * Out: {@code {"payload": HEX}}, {@code {"entries": [...]}}, {@code {"paths": [...]}} or {@code {"error": TEXT}}.
 */
public final class CodecPeer {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final HexFormat HEX = HexFormat.of();

    private final LwM2mModel model = Models.all("1.1");
    private final Nodes nodes = new Nodes(model);
    private final DefaultLwM2mEncoder encoder = new DefaultLwM2mEncoder();
    private final DefaultLwM2mDecoder decoder = new DefaultLwM2mDecoder();

    private CodecPeer() {
    }

    private Map<String, Object> answer(JsonNode task) throws Exception {
        ContentFormat format = ContentFormat.fromCode(task.get("format").asInt());
        String root = task.path("root").asText(null);
        String shape = task.get("shape").asText();
        List<LwM2mPath> paths = new ArrayList<>();
        task.get("paths").forEach(each -> paths.add(new LwM2mPath(each.asText())));
        if (task.get("do").asText().equals("encode")) {
            List<Nodes.Entry> entries = new ArrayList<>();
            task.get("entries").forEach(each -> entries.add(Nodes.Entry.of(each)));
            return Map.of("payload", HEX.formatHex(encode(shape, format, root, paths, entries)));
        }
        byte[] payload = HEX.parseHex(task.get("payload").asText());
        if (shape.equals("paths")) {
            return Map.of("paths", decoder.decodePaths(payload, format, root).stream().map(String::valueOf).toList());
        }
        List<Nodes.Entry> found = new ArrayList<>();
        decode(shape, format, root, paths, payload, found);
        return Map.of("entries", found.stream().map(Nodes.Entry::shown).toList());
    }

    private byte[] encode(String shape, ContentFormat format, String root, List<LwM2mPath> paths,
            List<Nodes.Entry> entries) {
        switch (shape) {
        case "node":
            return encoder.encode(nodes.build(paths.get(0), entries), format, root, paths.get(0), model);
        case "history":
            List<TimestampedLwM2mNode> history = new ArrayList<>();
            byTime(entries).forEach((time, each) -> history
                    .add(new TimestampedLwM2mNode(instant(time), nodes.build(paths.get(0), each))));
            return encoder.encodeTimestampedData(history, format, root, paths.get(0), model);
        case "nodes":
            return encoder.encodeNodes(each(paths, entries), format, root, model);
        case "send":
            TimestampedLwM2mNodes.Builder send = TimestampedLwM2mNodes.builder();
            byTime(entries).forEach((time, each) -> each
                    .forEach(one -> send.put(instant(time), one.path(), nodes.build(one.path(), List.of(one)))));
            return encoder.encodeTimestampedNodes(send.build(), format, root, model);
        case "paths":
            return encoder.encodePaths(paths, format, root);
        default:
            throw new IllegalArgumentException("unknown shape " + shape);
        }
    }

    private void decode(String shape, ContentFormat format, String root, List<LwM2mPath> paths, byte[] payload,
            List<Nodes.Entry> found) {
        switch (shape) {
        case "node":
            Nodes.flatten(paths.get(0), decoder.decode(payload, format, root, paths.get(0), model), null, found);
            break;
        case "history":
            decoder.decodeTimestampedData(payload, format, root, paths.get(0), model).forEach(
                    each -> Nodes.flatten(paths.get(0), each.getNode(), seconds(each.getTimestamp()), found));
            break;
        case "nodes":
            decoder.decodeNodes(payload, format, root, paths, model)
                    .forEach((path, node) -> Nodes.flatten(path, node, null, found));
            break;
        case "send":
            TimestampedLwM2mNodes send = decoder.decodeTimestampedNodes(payload, format, root, null, model);
            send.getTimestamps().forEach(time -> send.getNodesAt(time)
                    .forEach((path, node) -> Nodes.flatten(path, node, seconds(time), found)));
            break;
        default:
            throw new IllegalArgumentException("unknown shape " + shape);
        }
    }

    private Map<LwM2mPath, LwM2mNode> each(List<LwM2mPath> paths, List<Nodes.Entry> entries) {
        Map<LwM2mPath, LwM2mNode> found = new LinkedHashMap<>();
        for (LwM2mPath path : paths) {
            found.put(path, nodes.build(path, entries.stream().filter(each -> each.path().startWith(path)).toList()));
        }
        return found;
    }

    private static Map<String, List<Nodes.Entry>> byTime(List<Nodes.Entry> entries) {
        Map<String, List<Nodes.Entry>> found = new LinkedHashMap<>();
        entries.forEach(each -> found.computeIfAbsent(each.time(), key -> new ArrayList<>()).add(each));
        return found;
    }

    private static Instant instant(String seconds) {
        return seconds == null ? null : TimestampUtil.fromSeconds(new BigDecimal(seconds));
    }

    private static String seconds(Instant time) {
        return time == null ? null : TimestampUtil.fromInstant(time).toPlainString();
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        CodecPeer peer = new CodecPeer();
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            Map<String, Object> answer = new HashMap<>();
            try {
                answer.putAll(peer.answer(JSON.readTree(line)));
            } catch (Exception error) {
                answer.put("error", String.valueOf(error));
            }
            out.println(JSON.writeValueAsString(answer));
        }
    }
}
