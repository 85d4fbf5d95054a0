package lanternpipe;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

/** Decodes and validates logins, drops old versions, adds a time, and encodes them. */
public final class Logins {
    record UserLogin(
            @JsonProperty(required = true) String user_id,
            @JsonProperty(required = true) String app_version,
            @JsonProperty(required = true) String ip,
            @JsonProperty(required = true) String locale,
            @JsonProperty(required = true) String device_id,
            @JsonProperty(required = true) long timestamp,
            @JsonProperty(required = true) String device_type) {
        UserLogin {
            for (String text : new String[] {user_id, app_version, ip, locale, device_id, device_type}) {
                if (text == null || text.isEmpty()) {
                    throw new IllegalArgumentException("a text is empty");
                }
            }
            if (timestamp < 0) {
                throw new IllegalArgumentException("timestamp is negative");
            }
        }

        boolean current() {
            return app_version.indexOf('.') > 0
                    && Integer.parseInt(app_version.substring(0, app_version.indexOf('.'))) >= 2;
        }
    }

    record ProcessedUserLogin(
            String user_id,
            String app_version,
            String ip,
            String locale,
            String device_id,
            long timestamp,
            String device_type,
            long processed_timestamp) {
        static ProcessedUserLogin of(UserLogin login) {
            return new ProcessedUserLogin(
                    login.user_id,
                    login.app_version,
                    login.ip,
                    login.locale,
                    login.device_id,
                    login.timestamp,
                    login.device_type,
                    System.currentTimeMillis() / 1000);
        }
    }

    static <T> Serde<T> json(Class<T> type) {
        ObjectMapper mapper =
                new ObjectMapper()
                        .configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false)
                        .configure(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES, true)
                        .configure(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES, true);
        ObjectReader reader = mapper.readerFor(type);
        ObjectWriter writer = mapper.writerFor(type);
        Serializer<T> serializer =
                (topic, value) -> {
                    try {
                        return writer.writeValueAsBytes(value);
                    } catch (IOException error) {
                        throw new SerializationException(error);
                    }
                };
        Deserializer<T> deserializer =
                (topic, bytes) -> {
                    try {
                        return reader.readValue(bytes);
                    } catch (IOException error) {
                        throw new SerializationException(error);
                    }
                };
        return Serdes.serdeFrom(serializer, deserializer);
    }

    /** Arguments: servers, input topic, output topic, application, guarantee; then name=value. */
    public static void main(String[] arguments) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[3]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, arguments[4]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("compression.type", "lz4");
        settings.put(StreamsConfig.STATE_DIR_CONFIG, "/tmp/lanternpipe-streams-" + arguments[3]);
        for (String more : Arrays.asList(arguments).subList(5, arguments.length)) {
            settings.put(more.substring(0, more.indexOf('=')), more.substring(more.indexOf('=') + 1));
        }
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(arguments[1], Consumed.with(Serdes.ByteArray(), json(UserLogin.class)))
                .filter((key, login) -> login.current())
                .mapValues(ProcessedUserLogin::of)
                .to(arguments[2], Produced.with(Serdes.ByteArray(), json(ProcessedUserLogin.class)));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }
}
