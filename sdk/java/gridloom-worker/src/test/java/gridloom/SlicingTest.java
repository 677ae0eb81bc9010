package gridloom;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import org.junit.jupiter.api.Test;

/** Keys have the slices that docs/SLICING.md says. */
final class SlicingTest {
    @Test
    void vectors_of_the_page_are_ours() throws Exception {
        int seen = 0;
        for (String line : Files.readAllLines(Paths.get("../../../docs/SLICING.md"), StandardCharsets.UTF_8)) {
            if (!line.startsWith("| `")) {
                continue;
            }
            String[] cells = line.replace("`", "").split(" *\\| *");
            String key = (String) Json.read(cells[1]);
            assertEquals(Integer.parseInt(cells[3]), Slicing.sliceOf(key, 7), key);
            assertEquals(Integer.parseInt(cells[4]), Slicing.sliceOf(key, 65_536), key);
            assertEquals(Long.parseLong(cells[2], 16) % Integer.MAX_VALUE, Slicing.sliceOf(key, Integer.MAX_VALUE), key);
            seen++;
        }
        assertTrue(seen >= 8, "the page has its table");
    }

    @Test
    void whole_number_is_hashed_as_its_digits() {
        assertEquals(Slicing.sliceOf("-42", 65_536), Slicing.sliceOf(-42, 65_536));
        assertThrows(IllegalArgumentException.class, () -> Slicing.sliceOf("a", 0));
    }
}
