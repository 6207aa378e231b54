import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.cfg.CoercionAction;
import com.fasterxml.jackson.databind.cfg.CoercionInputShape;
import com.fasterxml.jackson.databind.introspect.Annotated;
import com.fasterxml.jackson.databind.introspect.JacksonAnnotationIntrospector;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.type.LogicalType;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import io.fabric8.kubernetes.api.model.ConfigMap;
import io.fabric8.kubernetes.api.model.Service;
import io.fabric8.kubernetes.api.model.ServiceAccount;
import io.fabric8.kubernetes.api.model.apps.Deployment;
import io.fabric8.kubernetes.api.model.apps.StatefulSet;
import io.fabric8.kubernetes.api.model.autoscaling.v2.HorizontalPodAutoscaler;
import io.fabric8.kubernetes.api.model.batch.v1.Job;
import io.fabric8.kubernetes.api.model.networking.v1.NetworkPolicy;
import io.fabric8.kubernetes.api.model.policy.v1.PodDisruptionBudget;
import io.strimzi.api.kafka.model.kafka.Kafka;
import io.strimzi.api.kafka.model.nodepool.KafkaNodePool;
import java.util.Iterator;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Reads the documents of standard input, one after the other, as strictly as the API server would with --validate=strict: no field that the model does not know, no number where it wants a
 * text, no text where it wants a number, no word that its list does not have. One line for each: "read", "wrong" with the path of the field, or "none" where there is no model.
 */
public class Read {
    private static final Map<String, Class<?>> MODELS = Map.ofEntries(
            Map.entry("v1 ConfigMap", ConfigMap.class),
            Map.entry("v1 Service", Service.class),
            Map.entry("v1 ServiceAccount", ServiceAccount.class),
            Map.entry("apps/v1 Deployment", Deployment.class),
            Map.entry("apps/v1 StatefulSet", StatefulSet.class),
            Map.entry("autoscaling/v2 HorizontalPodAutoscaler", HorizontalPodAutoscaler.class),
            Map.entry("batch/v1 Job", Job.class),
            Map.entry("networking.k8s.io/v1 NetworkPolicy", NetworkPolicy.class),
            Map.entry("policy/v1 PodDisruptionBudget", PodDisruptionBudget.class),
            Map.entry("kafka.strimzi.io/v1 Kafka", Kafka.class),
            Map.entry("kafka.strimzi.io/v1 KafkaNodePool", KafkaNodePool.class));

    /** The models keep fields that they do not know in a map of their own. Here there is no such map: such a field is a fault. */
    @SuppressWarnings("serial")
    private static class NothingElse extends JacksonAnnotationIntrospector {
        @Override
        public Boolean hasAnySetter(Annotated what) {
            return false;
        }
    }

    private static ObjectMapper strict() {
        ObjectMapper mapper = JsonMapper.builder()
                .annotationIntrospector(new NothingElse())
                .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
                .disable(MapperFeature.ALLOW_COERCION_OF_SCALARS)
                .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
                .build();
        for (CoercionInputShape shape : new CoercionInputShape[] {CoercionInputShape.Integer, CoercionInputShape.Float, CoercionInputShape.Boolean})
            mapper.coercionConfigFor(LogicalType.Textual).setCoercion(shape, CoercionAction.Fail);
        return mapper;
    }

    private static String path(JsonMappingException fault) {
        return fault.getPath().stream().map(step -> step.getFieldName() != null ? step.getFieldName() : String.valueOf(step.getIndex())).collect(Collectors.joining("."));
    }

    /** The first place where what was read is not what was written (a word that no list of words has is read as nothing), or null. */
    private static String lost(JsonNode written, JsonNode read, String at) {
        if (written.isContainerNode()) {
            if (written.isArray() && written.size() != read.size()) return at;
            for (var each : (Iterable<Map.Entry<String, JsonNode>>) () -> entries(written)) {
                JsonNode there = written.isArray() ? read.path(Integer.parseInt(each.getKey())) : read.path(each.getKey());
                String where = lost(each.getValue(), there, at.isEmpty() ? each.getKey() : at + "." + each.getKey());
                if (where != null) return where;
            }
            return null;
        }
        boolean unsaid = written.isBoolean() && !written.asBoolean() && read.isMissingNode(); // some models do not write what is the default
        return unsaid || written.asText().equals(read.asText()) ? null : at;
    }

    private static Iterator<Map.Entry<String, JsonNode>> entries(JsonNode node) {
        if (!node.isArray()) return node.fields();
        return IntStream.range(0, node.size()).mapToObj(i -> Map.entry(String.valueOf(i), node.get(i))).iterator();
    }

    private static String verdict(ObjectMapper mapper, JsonNode document) {
        String type = document.path("apiVersion").asText() + " " + document.path("kind").asText();
        String line = " " + type + " " + document.path("metadata").path("name").asText();
        if (!MODELS.containsKey(type)) return "none" + line;
        try {
            JsonNode back = mapper.valueToTree(mapper.treeToValue(document, MODELS.get(type)));
            ((ObjectNode) document).remove("apiVersion"); // a model of several versions writes its own
            String lost = lost(document, back, "");
            return lost == null ? "read" + line : "wrong" + line + ": " + lost + ": read as something else";
        } catch (JsonMappingException fault) {
            return "wrong" + line + ": " + path(fault) + ": " + fault.getOriginalMessage().lines().findFirst().orElse("");
        } catch (Exception fault) {
            return "wrong" + line + ": " + fault.getMessage();
        }
    }

    public static void main(String[] args) throws Exception {
        ObjectMapper mapper = strict();
        YAMLMapper yaml = YAMLMapper.builder().enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION).build();
        try (var documents = yaml.readerFor(JsonNode.class).readValues(System.in)) {
            while (documents.hasNext()) System.out.println(verdict(mapper, (JsonNode) documents.next()));
        }
    }
}
