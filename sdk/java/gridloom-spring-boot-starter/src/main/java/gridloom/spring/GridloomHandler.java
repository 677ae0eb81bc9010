package gridloom.spring;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * The name of a handler, as a job file has it, of a bean that is a {@code gridloom.Handler}, a {@code gridloom.Pages} or a job of
 * ElasticJob: on its class, or on the method that makes it. Without it the name is made of the bean's, of a job's that of its class.
 */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target({ElementType.TYPE, ElementType.METHOD})
public @interface GridloomHandler {
    /** 1 to 48 of {@code a-z 0-9 -}. */
    String value();
}
