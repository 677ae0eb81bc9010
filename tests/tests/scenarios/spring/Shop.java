import com.acme.OrderJob;
import gridloom.Handler;
import gridloom.spring.GridloomHandler;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** An application of Spring Boot, of which two beans are handlers: one of its own, and a job class of ElasticJob. */
@Configuration(proxyBeanMethods = false)
@EnableAutoConfiguration
public class Shop {
    @Bean
    @GridloomHandler("count")
    Handler counter() {
        return shard -> {
            for (int row = 0; row < 10; row++) {
                shard.check();
                Thread.sleep(shard.params().whole("pause", 0));
                shard.rows();
            }
        };
    }

    @Bean
    OrderJob orders() {
        return new OrderJob();
    }

    public static void main(String[] args) {
        SpringApplication.run(Shop.class, args);
    }
}
