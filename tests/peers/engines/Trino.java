/** Starts Trino's server with the settings that `-Dconfig` names, as its own package does. What it says goes to the standard output. */
public class Trino {
    public static void main(String[] arguments) {
        new io.trino.server.Server().start(io.trino.server.Server.class.getPackage().getImplementationVersion());
    }
}
