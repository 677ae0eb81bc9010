package gridloom;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** The request was understood and refused. Decide by {@link #type}, read {@link #detail} (docs/API.md has all types). */
public final class ApiException extends RuntimeException {
    private static final long serialVersionUID = 1;
    private static final String OURS = "urn:gridloom:";

    private final String type;
    private final int status;
    private final String detail;
    private final ArrayList<String> faults;

    private ApiException(String type, int status, String detail, ArrayList<String> faults) {
        super(faults.isEmpty() ? detail : detail + "; " + String.join("; ", faults));
        this.type = type;
        this.status = status;
        this.detail = detail;
        this.faults = faults;
    }

    static ApiException of(Map<?, ?> problem, int status) {
        String type = text(problem.get("type"), "about:blank");
        String title = text(problem.get("title"), "status " + status);
        ArrayList<String> faults = new ArrayList<>();
        if (problem.get("faults") instanceof List) {
            for (Object fault : (List<?>) problem.get("faults")) {
                faults.add(String.valueOf(fault));
            }
        }
        String known = type.startsWith(OURS) ? type.substring(OURS.length()) : type;
        return new ApiException(known, status, text(problem.get("detail"), title), faults);
    }

    private static String text(Object found, String other) {
        return found instanceof String ? (String) found : other;
    }

    /** What it is: {@code not-found}, {@code refused}, ... */
    public String type() {
        return type;
    }

    /** The status of the answer. */
    public int status() {
        return status;
    }

    /** What is wrong, for people. */
    public String detail() {
        return detail;
    }

    /** Each fault of a definition. */
    public List<String> faults() {
        return Collections.unmodifiableList(faults);
    }
}
