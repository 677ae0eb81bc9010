// Makes quartz.tsv: expressions, each with the first ten times at which Quartz itself fires it after 2026-01-01
// 00:00:00 UTC, or "refused". Times in UTC, where no clock changes.
//
// With quartz 2.3.2 and slf4j-api as jars in lib/:  java -cp 'lib/*' Quartz.java > quartz.tsv
import java.time.Instant;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Random;
import java.util.TimeZone;
import org.quartz.CronExpression;

class Quartz {
    static final String[] BY_HAND = {
        "0 0 12 * * ?", "0 15 10 ? * *", "0 15 10 * * ? 2026", "0 * 14 * * ?", "0 0/5 14,18 * * ?", "0 0-5 14 * * ?",
        "0 10,44 14 ? 3 WED", "0 15 10 ? * MON-FRI", "0 15 10 15 * ?", "0 15 10 L * ?", "0 15 10 L-2 * ?",
        "0 15 10 ? * 6L", "0 15 10 ? * 6L 2026-2029", "0 15 10 ? * 6#3", "0 0 12 1/5 * ?", "0 11 11 11 11 ?",
        "0 0 0 LW * ?", "0 0 0 15W * ?", "0 0 0 1W * ?", "0 0 0 31W 1,3 ?", "0 0 0 L-3W * ?", "0 0 0 L-30 1,3,5 ?",
        "0 0 0 ? * L", "0 0 0 ? * 1L", "0 0 0 ? * FRIL", "0 0 0 ? * MON#5", "0 0 0 ? * 1#1", "0 0 0 ? * FRI-MON",
        "0 0 22-2 * * ?", "0 0 0 28-3 * ?", "0 0 0 1 NOV-FEB ?", "50-10 0 0 * * ?", "0 55-5 * * * ?", "0 0 20-4/3 * * ?",
        "0 0 0 29 2 ?", "0 0 0 29 2 ? 2028-2099", "0 0 0 ? 2 6#5", "0 0 0 30 2 ?", "0 0 0 31 2 ?", "0 0 0 31 4,6,9,11 ?",
        "*/7 * * * * ?", "/20 * * * * ?", "0 /20 * * * ?", "3/20 1/30 * * * ?", "0 0 0 * * ? 2030/5", "0 0 0 1 1 ? 2099",
        "0 0 0 1 1 ? 2000", "0 0 0 ? * 2/2", "0 0 0 ? * MON-FRI/2", "0 0 0 ? * SUN,TUE,SAT", "0 0 0 ? * 7-1",
        "0 0 0 ? * 1-7", "0 0 0 */2 * ?", "0 0 0 1/31 * ?", "0 0 0 1 */5 ?", "0 0 0 1 2/3 ?", "0 0 0 1 JAN,JUL ?",
        "60 * * * * ?", "* 60 * * * ?", "* * 24 * * ?", "* * * 32 * ?", "* * * 0 * ?", "* * * * 13 ?",
        "* * * ? * 8", "* * * ? * 0", "* * * ? * 6#6", "* * * ? * 6#0", "* * * 1 * 1", "* * * ? * ?", "? * * * * ?",
        "* * * L-31 * ?", "* * * 32W * ?", "*/60 * * * * ?", "* */60 * * * ?", "* * */24 * * ?", "* * * * * ? 2030-2029",
        "* * * * * ? 1969", "* * *", "* * * * * ? * *",
    };

    public static void main(String[] arguments) throws Exception {
        List<String> expressions = new ArrayList<>(List.of(BY_HAND));
        Random random = new Random(12);
        while (expressions.size() < 300) expressions.add(some(random));
        for (String expression : expressions) System.out.println(expression + "\t" + fires(expression));
    }

    static String fires(String expression) {
        try {
            CronExpression cron = new CronExpression(expression);
            cron.setTimeZone(TimeZone.getTimeZone("UTC"));
            List<String> fires = new ArrayList<>();
            Date at = Date.from(Instant.parse("2026-01-01T00:00:00Z"));
            while (fires.size() < 10 && (at = cron.getNextValidTimeAfter(at)) != null) fires.add(at.toInstant().toString());
            return String.join(" ", fires);
        } catch (Exception refused) {
            return "refused";
        }
    }

    static String some(Random random) {
        String second = random.nextInt(3) > 0 ? "0" : plain(random, 0, 59);
        String day = "?", weekday = "?";
        if (random.nextBoolean()) day = day(random); else weekday = weekday(random);
        String year = random.nextInt(4) > 0 ? "" : " " + (2024 + random.nextInt(8)) + "-" + (2031 + random.nextInt(30));
        return String.join(" ", second, plain(random, 0, 59), plain(random, 0, 23), day, plain(random, 1, 12), weekday) + year;
    }

    static String plain(Random random, int least, int most) {
        int first = least + random.nextInt(most - least + 1), last = least + random.nextInt(most - least + 1);
        int step = 1 + random.nextInt(Math.min(most, 12));
        return switch (random.nextInt(6)) {
            case 0 -> "*";
            case 1 -> first + "";
            case 2 -> first + "-" + last;
            case 3 -> first + "," + last;
            case 4 -> first + "/" + step;
            default -> "*/" + step;
        };
    }

    static String day(Random random) {
        return switch (random.nextInt(5)) {
            case 0 -> "L-" + random.nextInt(10);
            case 1 -> (1 + random.nextInt(28)) + "W";
            case 2 -> "LW";
            default -> plain(random, 1, 31);
        };
    }

    static String weekday(Random random) {
        int day = 1 + random.nextInt(7);
        return switch (random.nextInt(4)) {
            case 0 -> day + "L";
            case 1 -> day + "#" + (1 + random.nextInt(5));
            default -> plain(random, 1, 7);
        };
    }
}
