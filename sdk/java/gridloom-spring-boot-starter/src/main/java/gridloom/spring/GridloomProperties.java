package gridloom.spring;

import java.util.ArrayList;
import java.util.List;
import org.springframework.boot.context.properties.ConfigurationProperties;

/** What {@code gridloom.*} says in the application's configuration. */
@ConfigurationProperties("gridloom")
public class GridloomProperties {
    private final Worker worker = new Worker();
    private final Client client = new Client();

    /** {@code gridloom.worker.*}. */
    public Worker getWorker() {
        return worker;
    }

    /** {@code gridloom.client.*}. */
    public Client getClient() {
        return client;
    }

    /** The worker that runs the shards of this application's handlers. */
    public static class Worker {
        private boolean enabled = true;
        private int slots = 1;
        private String queue;
        private String nats;
        private String command;
        private List<String> options = new ArrayList<>();
        private boolean closeContext = true;

        /** Whether there is one, where the application has handlers. */
        public boolean isEnabled() {
            return enabled;
        }

        public void setEnabled(boolean enabled) {
            this.enabled = enabled;
        }

        /** How many tiles run at once. */
        public int getSlots() {
            return slots;
        }

        public void setSlots(int slots) {
            this.slots = slots;
        }

        /** The queue that it works on; left out: as the worker's own settings say. */
        public String getQueue() {
            return queue;
        }

        public void setQueue(String queue) {
            this.queue = queue;
        }

        /** The broker; left out: as the worker's own settings say. */
        public String getNats() {
            return nats;
        }

        public void setNats(String nats) {
            this.nats = nats;
        }

        /** The path of the command {@code gridloom}; left out: it is looked for in {@code PATH}. */
        public String getCommand() {
            return command;
        }

        public void setCommand(String command) {
            this.command = command;
        }

        /** Other flags of {@code gridloom worker}. */
        public List<String> getOptions() {
            return options;
        }

        public void setOptions(List<String> options) {
            this.options = options;
        }

        /** Whether the application is closed when its worker has ended otherwise than with it. */
        public boolean isCloseContext() {
            return closeContext;
        }

        public void setCloseContext(boolean closeContext) {
            this.closeContext = closeContext;
        }
    }

    /** The client that starts runs. */
    public static class Client {
        private String api;
        private String token;

        /** A planner's address; left out: the variable {@code GRIDLOOM_API}, or this machine. */
        public String getApi() {
            return api;
        }

        public void setApi(String api) {
            this.api = api;
        }

        /** A token of {@code gridloom token}; left out: the variable {@code GRIDLOOM_TOKEN}. */
        public String getToken() {
            return token;
        }

        public void setToken(String token) {
            this.token = token;
        }
    }
}
