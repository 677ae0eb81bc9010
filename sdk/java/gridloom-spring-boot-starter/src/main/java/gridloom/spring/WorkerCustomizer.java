package gridloom.spring;

import gridloom.Worker;

/** Beans of this kind are asked before the worker runs: for handlers of their own, an executor, whatever it can be told. */
@FunctionalInterface
public interface WorkerCustomizer {
    /** Tells the worker more. */
    void customize(Worker worker);
}
