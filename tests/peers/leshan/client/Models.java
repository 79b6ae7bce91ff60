import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;

import org.eclipse.leshan.core.LwM2m.LwM2mVersion;
import org.eclipse.leshan.core.LwM2mId;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.model.ObjectLoader;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.model.ResourceModel.Operations;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.model.StaticModel;

/**
 * The object models of the peer: what Leshan brings (objects 0 to 7) and three more as tables of facts.
 *
 * A row is {@code id:name:operations:type:S or M}.
 */
final class Models {
    static final int TEMPERATURE = 3303;
    static final int TEST_1_0 = 3441;
    static final int TEST_1_1 = 3442;

    private static final Map<String, Type> TYPES = Map.of("str", Type.STRING, "int", Type.INTEGER, "uint",
            Type.UNSIGNED_INTEGER, "flt", Type.FLOAT, "bool", Type.BOOLEAN, "opq", Type.OPAQUE, "time", Type.TIME,
            "lnk", Type.OBJLNK, "corelnk", Type.CORELINK, "-", Type.NONE);

    private static final String[] TEMPERATURE_ROWS = { "5700:Sensor Value:R:flt:S", "5601:Min Measured Value:R:flt:S",
            "5602:Max Measured Value:R:flt:S", "5603:Min Range Value:R:flt:S", "5604:Max Range Value:R:flt:S",
            "5701:Sensor Units:R:str:S", "5605:Reset Min and Max Measured Values:E:-:S",
            "5750:Application Type:RW:str:S" };

    private static final String[] TEST_1_0_ROWS = { "0:Reset values:E:-:S", "1:Randomize values:E:-:S",
            "2:Clear values:E:-:S", "3:Exec With Arguments:E:-:S", "4:Arguments List:R:str:M",
            "110:String Value:RW:str:S", "120:Integer Value:RW:int:S", "130:Float Value:RW:flt:S",
            "140:Boolean Value:RW:bool:S", "150:Opaque Value:RW:opq:S", "160:Time Value:RW:time:S",
            "170:ObjLink Value:RW:lnk:S", "1110:Multiple String Value:RW:str:M", "1120:Multiple Integer Value:RW:int:M",
            "1130:Multiple Float Value:RW:flt:M", "1140:Multiple Boolean Value:RW:bool:M",
            "1150:Multiple Opaque Value:RW:opq:M", "1160:Multiple Time Value:RW:time:M",
            "1170:Multiple ObjLink Value:RW:lnk:M" };

    /** What object 3442 has beyond 3441. */
    private static final String[] TEST_1_1_ROWS = { "5:Send Data:E:-:S", "6:Resources to Send:RW:str:M",
            "125:Unsigned Integer Value:RW:uint:S", "180:CoreLnk Value:RW:corelnk:S",
            "1125:Multiple Unsigned Integer Value:RW:uint:M", "1180:Multiple CoreLnk Value:RW:corelnk:M" };

    private Models() {
    }

    /** All models for a client that speaks `version` ("1.0" or "1.1"). */
    static LwM2mModel all(String version) {
        Collection<ObjectModel> models = new ArrayList<>(ObjectLoader.loadDefault(LwM2mVersion.get(version)));
        // Leshan's own Security and Server instances need the newest models; servers don't see the difference.
        models.removeIf(model -> model.id <= LwM2mId.SERVER);
        ObjectLoader.loadDefault().stream().filter(model -> model.id <= LwM2mId.SERVER).forEach(models::add);
        models.add(object(TEMPERATURE, "Temperature", "1.1", rows(TEMPERATURE_ROWS)));
        models.add(object(TEST_1_0, "LwM2M v1.0 Test Object", "1.0", rows(TEST_1_0_ROWS)));
        List<ResourceModel> test = rows(TEST_1_0_ROWS);
        test.addAll(rows(TEST_1_1_ROWS));
        models.add(object(TEST_1_1, "LwM2M v1.1 Test Object", "1.0", test));
        return new StaticModel(models);
    }

    private static ObjectModel object(int id, String name, String version, List<ResourceModel> resources) {
        return new ObjectModel(id, name, "", version, true, false, resources);
    }

    private static List<ResourceModel> rows(String[] rows) {
        List<ResourceModel> resources = new ArrayList<>();
        for (String row : rows) {
            String[] cell = row.split(":");
            resources.add(new ResourceModel(Integer.valueOf(cell[0]), cell[1], Operations.valueOf(cell[2]),
                    cell[4].equals("M"), false, TYPES.get(cell[3]), "", "", ""));
        }
        return resources;
    }
}
