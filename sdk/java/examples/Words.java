import gridloom.Permanent;
import gridloom.Worker;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.List;

/**
 * Counts the words of a text file, each slice its own lines.
 *
 * <pre>
 * gridloom dev                                          # leave it running
 * gridloom worker -- java -cp ../gridloom-worker/target/gridloom-worker-0.1.0.jar Words.java   # in this folder; likewise
 * gridloom job apply words.toml
 * gridloom run words --wait --param file=Words.java
 * </pre>
 */
public final class Words {
    public static void main(String[] args) {
        Worker.create().slots(4).handler("words", shard -> {
            String file = shard.params().text("file", "");
            if (file.isEmpty()) {
                throw new Permanent("params.file is missing: say --param file=PATH");
            }
            Path path = Paths.get(file);
            // A file that is not there is tried again: it may come.
            List<String> lines = Files.readAllLines(path);
            String longest = "";
            for (int number = 0; number < lines.size(); number++) {
                if (!shard.owns(number)) {
                    continue;
                }
                shard.check();
                shard.rows();
                for (String word : lines.get(number).trim().split("\\s+")) {
                    if (!word.isEmpty()) {
                        shard.count("words");
                        longest = word.length() > longest.length() ? word : longest;
                    }
                }
            }
            shard.result(longest.substring(0, Math.min(200, longest.length())));
        }).run();
    }
}
