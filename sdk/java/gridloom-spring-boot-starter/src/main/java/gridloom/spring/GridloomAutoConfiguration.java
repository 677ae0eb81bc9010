package gridloom.spring;

import gridloom.Client;
import gridloom.Handler;
import gridloom.Pages;
import gridloom.Worker;
import gridloom.elasticjob.ElasticJobs;
import org.apache.shardingsphere.elasticjob.api.ElasticJob;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.SmartLifecycle;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** A worker that runs the shards of all handlers among the beans, and a client that starts runs. */
@AutoConfiguration
@EnableConfigurationProperties(GridloomProperties.class)
public class GridloomAutoConfiguration {
    /** A client, for whoever has none of their own. */
    @Bean
    @ConditionalOnMissingBean
    public Client gridloomClient(GridloomProperties properties) {
        GridloomProperties.Client said = properties.getClient();
        Client client = said.getApi() == null ? Client.create() : Client.of(said.getApi());
        return said.getToken() == null ? client : client.token(said.getToken());
    }

    /** Handlers and pages among the beans. */
    @Bean
    WorkerCustomizer gridloomHandlers(ConfigurableListableBeanFactory beans) {
        return worker -> {
            for (String bean : beans.getBeanNamesForType(Handler.class)) {
                worker.handler(HandlerNames.of(beans, bean), beans.getBean(bean, Handler.class));
            }
            for (String bean : beans.getBeanNamesForType(Pages.class)) {
                worker.pages(HandlerNames.of(beans, bean), beans.getBean(bean, Pages.class));
            }
        };
    }

    /** Job classes of ElasticJob among the beans. */
    @Configuration(proxyBeanMethods = false)
    @ConditionalOnClass({ElasticJobs.class, ElasticJob.class})
    static class OfElasticJob {
        @Bean
        WorkerCustomizer gridloomElasticJobs(ConfigurableListableBeanFactory beans) {
            return worker -> {
                for (String bean : beans.getBeanNamesForType(ElasticJob.class)) {
                    ElasticJob job = beans.getBean(bean, ElasticJob.class);
                    String said = HandlerNames.said(beans, bean);
                    ElasticJobs.of(worker).job(said != null ? said : ElasticJobs.name(job), job);
                }
            };
        }
    }

    /** The worker, where the application has handlers and has not turned it off. */
    @Bean
    @ConditionalOnProperty(name = "gridloom.worker.enabled", matchIfMissing = true)
    SmartLifecycle gridloomWorker(GridloomProperties properties, ObjectProvider<WorkerCustomizer> customizers,
            ConfigurableApplicationContext context) {
        GridloomProperties.Worker said = properties.getWorker();
        // The context has handlers of signals of its own.
        Worker worker = Worker.create().signals(false).slots(said.getSlots());
        if (said.getQueue() != null) {
            worker.queue(said.getQueue());
        }
        if (said.getNats() != null) {
            worker.nats(said.getNats());
        }
        if (said.getCommand() != null) {
            worker.command(said.getCommand());
        }
        worker.options(said.getOptions().toArray(new String[0]));
        customizers.orderedStream().forEach(one -> one.customize(worker));
        return new WorkerLifecycle(worker, context, said.isCloseContext());
    }
}
