// Sends a person's calls with Segment's SDK for Java, as it comes, and prints the message ids as JSON.
//
// Run as: java SegmentJava.java HOST WRITE_KEY PREFIX, with the SDK's jars on the class path. Nothing but the host is set;
// the callback only listens.

import com.google.gson.Gson;
import com.segment.analytics.Analytics;
import com.segment.analytics.Callback;
import com.segment.analytics.messages.AliasMessage;
import com.segment.analytics.messages.GroupMessage;
import com.segment.analytics.messages.IdentifyMessage;
import com.segment.analytics.messages.Message;
import com.segment.analytics.messages.MessageBuilder;
import com.segment.analytics.messages.PageMessage;
import com.segment.analytics.messages.ScreenMessage;
import com.segment.analytics.messages.TrackMessage;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

public class SegmentJava {
  public static void main(String[] args) throws InterruptedException {
    String host = args[0], writeKey = args[1], user = args[2] + "-user";
    List<MessageBuilder<?, ?>> calls = List.of(
        IdentifyMessage.builder().userId(user).traits(
            Map.of("email", args[2] + "@example.com", "name", "Zoë Ünal", "plan", 9007199254740993L)),
        TrackMessage.builder("Order Completed").userId(user).properties(
            Map.of("total", 19.9, "currency", "EUR", "note", "grüße 🎁")),
        PageMessage.builder("Lamps").userId(user).properties(Map.of("url", "https://shop.example.com/lamps")),
        ScreenMessage.builder("Start").userId(user),
        GroupMessage.builder(args[2] + "-account").userId(user).traits(Map.of("seats", 3)),
        AliasMessage.builder(args[2] + "-before").userId(user));

    Heard heard = new Heard(calls.size());
    Analytics analytics = Analytics.builder(writeKey).endpoint(host).callback(heard).build();
    for (MessageBuilder<?, ?> call : calls) analytics.enqueue(call);
    analytics.flush();
    if (!heard.all.await(30, TimeUnit.SECONDS)) heard.failures.add("the SDK said nothing of " + heard.all.getCount());
    analytics.shutdown();
    System.out.println(new Gson().toJson(Map.of("failures", heard.failures, "messages", heard.messages)));
  }

  /** What became of each message. The SDK calls it from a thread of its own. */
  private static class Heard implements Callback {
    final ConcurrentLinkedQueue<String> failures = new ConcurrentLinkedQueue<>();
    final ConcurrentLinkedQueue<String> messages = new ConcurrentLinkedQueue<>();
    final CountDownLatch all;

    Heard(int calls) {
      all = new CountDownLatch(calls);
    }

    @Override
    public void success(Message message) {
      messages.add(message.messageId());
      all.countDown();
    }

    @Override
    public void failure(Message message, Throwable throwable) {
      failures.add(throwable.toString());
      all.countDown();
    }
  }
}
