package gridloom;

/** The other side broke the child protocol. */
final class ProtocolException extends Exception {
    private static final long serialVersionUID = 1;

    ProtocolException(String what) {
        super(what);
    }
}
