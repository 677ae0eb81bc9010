package gridloom;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.math.BigInteger;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class JsonTest {
    @Test
    void each_kind_of_value_is_read_as_what_it_is() {
        assertEquals(Arrays.asList(1L, -2L, 1.5, 1e3, "a", true, false, null, Collections.emptyMap(), Collections.emptyList()),
                Json.read(" [1,-2, 1.5,1e3,\"a\",true,false,null,{},[ ]]\n"));
        assertEquals(Collections.singletonMap("a", Collections.singletonMap("b", 0L)), Json.read("{\"a\":{ \"b\" : 0}}"));
    }

    @Test
    void whole_numbers_are_kept_to_their_last_digit() {
        assertEquals(Long.MIN_VALUE, Json.read("-9223372036854775808"));
        assertEquals(Long.MAX_VALUE, Json.read("9223372036854775807"));
        assertEquals(new BigInteger("9223372036854775808"), Json.read("9223372036854775808"));
        assertEquals(9.0, Json.read("9.0"));
    }

    @Test
    void texts_are_the_same_there_and_back() {
        String hard = "\"\\/\b\f\n\r\t\u0001é日本\ud83d\ude00\u2028";
        assertEquals(hard, Json.read(Json.write(hard)));
        assertEquals("é\ud83d\ude00\"\\/\b", Json.read("\"\\u00e9\\uD83D\\ude00\\\"\\\\\\/\\b\""));
    }

    @Test
    void what_is_written_is_plain_json() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("a", new int[] {1, 2});
        map.put("b", Arrays.asList(null, true, 'c', 2.5f));
        assertEquals("{\"a\":[1,2],\"b\":[null,true,\"c\",2.5]}", Json.write(map));
        assertThrows(IllegalArgumentException.class, () -> Json.write(Double.NaN));
        assertThrows(IllegalArgumentException.class, () -> Json.write(new Object()));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", " ", "{", "[1,", "[1,]", "{\"a\"}", "{\"a\":1,}", "{a:1}", "\"a", "\"\\x\"", "\"\\u12g4\"", "\"\t\"",
        "01", "-", "1.", "1e", "+1", ".5", "tru", "nulll", "1 2", "NaN", "\"\\u\uff11234\""})
    void what_is_no_json_is_refused(String text) {
        assertThrows(IllegalArgumentException.class, () -> Json.read(text));
    }

    @Test
    void nesting_has_an_end() {
        String deep = String.join("", Collections.nCopies(100_000, "["));
        assertThrows(IllegalArgumentException.class, () -> Json.read(deep));
    }
}
