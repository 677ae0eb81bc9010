package gridloom.spring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import gridloom.Client;
import gridloom.Handler;
import gridloom.Pages;
import gridloom.Probe;
import gridloom.Shard;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import org.apache.shardingsphere.elasticjob.api.ShardingContext;
import org.apache.shardingsphere.elasticjob.simple.job.SimpleJob;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.boot.SpringBootVersion;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** Applications of Spring Boot, with an engine that the tests play in a process of its own. */
final class StarterTest {
    private static final long SOON_NS = 60_000_000_000L;

    @TempDir
    Path folder;

    @Configuration(proxyBeanMethods = false)
    @EnableAutoConfiguration
    static class Application {
        @Bean
        Handler resizeImages() {
            return shard -> shard.rows(7);
        }

        @Bean
        Count counter() {
            return new Count();
        }

        @Bean
        OrderJob anyName() {
            return new OrderJob();
        }

        @Bean
        @GridloomHandler("of-method")
        SimpleJob other() {
            return context -> {};
        }
    }

    @GridloomHandler("count")
    static final class Count implements Handler, Pages {
        @Override
        public void run(Shard shard) {}

        @Override
        public void find(Probe probe) {
            probe.page(1, 2);
        }
    }

    static final class OrderJob implements SimpleJob {
        @Override
        public void execute(ShardingContext context) {}
    }

    @Configuration(proxyBeanMethods = false)
    @EnableAutoConfiguration
    static class WithoutHandlers {}

    private ConfigurableApplicationContext start(Class<?> application, String mode, String... more) throws Exception {
        Path command = folder.resolve("gridloom");
        String script = "#!/bin/sh\necho \"$@\" $GRIDLOOM_WORKER_QUEUES > '" + folder + "/said'\nexec '"
                + System.getProperty("java.home") + "/bin/java' -cp '" + System.getProperty("java.class.path") + "' "
                + FakeEngine.class.getName() + " '" + folder + "' " + mode + "\n";
        Files.write(command, script.getBytes(StandardCharsets.UTF_8));
        assertTrue(command.toFile().setExecutable(true));
        List<String> args = new ArrayList<>(Arrays.asList("--gridloom.worker.command=" + command, "--spring.main.banner-mode=off",
                "--gridloom.worker.queue=fast", "--gridloom.worker.slots=3", "--gridloom.worker.options=--grace,5s"));
        args.addAll(Arrays.asList(more));
        return new SpringApplicationBuilder(application).web(WebApplicationType.NONE).run(args.toArray(new String[0]));
    }

    private String heard(String file) throws Exception {
        Path heard = folder.resolve(file);
        return Files.exists(heard) ? new String(Files.readAllBytes(heard), StandardCharsets.UTF_8) : "";
    }

    private static void eventually(String what, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + SOON_NS;
        while (!condition.call()) {
            assertTrue(System.nanoTime() - end < 0, "not in time: " + what);
            Thread.sleep(5);
        }
    }

    @Test
    void spring_boot_is_the_one_that_is_meant() {
        assertTrue(SpringBootVersion.getVersion().startsWith(System.getProperty("spring-boot.major", "2") + "."));
    }

    @Test
    void beans_are_handlers_as_long_as_the_application_lives() throws Exception {
        ConfigurableApplicationContext context = start(Application.class, "lives");
        eventually("a shard is done", () -> heard("heard").contains("{\"type\":\"done\",\"shards\":[{\"id\":1,\"rows\":7}]}"));
        String hello = heard("heard").split("\n")[0];
        for (String name : new String[] {"resize-images", "count", "of-method", "starter-test-order-job"}) {
            assertTrue(hello.contains("\"" + name + "\""), hello);
        }
        assertTrue(hello.contains("\"probes\":[\"count\"],\"slots\":3"), hello);
        assertEquals("worker --attach --grace 5s fast", heard("said").trim());
        context.close();
        assertTrue(heard("heard").contains("{\"type\":\"bye\"}"));
    }

    @Test
    void application_is_closed_when_its_worker_is_gone() throws Exception {
        ConfigurableApplicationContext context = start(Application.class, "dies");
        eventually("it is closed", () -> !context.isActive());
        assertFalse(heard("heard").contains("bye"));
    }

    @Test
    void application_without_handlers_has_a_client_and_no_worker() throws Exception {
        try (ConfigurableApplicationContext context = start(WithoutHandlers.class, "lives", "--gridloom.client.api=http://127.0.0.1:1")) {
            assertEquals(1, context.getBeansOfType(Client.class).size());
            assertTrue(context.isActive());
        }
        try (ConfigurableApplicationContext context = start(Application.class, "lives", "--gridloom.worker.enabled=false")) {
            assertTrue(context.getBeansOfType(WorkerLifecycle.class).isEmpty());
        }
        assertEquals("", heard("said"));
    }
}
