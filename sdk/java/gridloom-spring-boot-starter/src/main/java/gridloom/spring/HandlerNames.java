package gridloom.spring;

import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;

/** What the handler of a bean is called. */
final class HandlerNames {
    private HandlerNames() {}

    /** As {@link GridloomHandler} says; without it the bean's own name, {@code resizeImages} as {@code resize-images}. */
    static String of(ConfigurableListableBeanFactory beans, String bean) {
        String said = said(beans, bean);
        return said != null ? said : bean.replaceAll("([a-z0-9])([A-Z])", "$1-$2").toLowerCase(java.util.Locale.ROOT);
    }

    /** As {@link GridloomHandler} says; {@code null}: it does not. */
    static String said(ConfigurableListableBeanFactory beans, String bean) {
        GridloomHandler annotation = beans.findAnnotationOnBean(bean, GridloomHandler.class);
        return annotation == null ? null : annotation.value();
    }
}
