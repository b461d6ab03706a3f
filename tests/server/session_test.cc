// The session on a connection that breaks at every possible operation.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/strand.hpp>
#include <memory>
#include <string>
#include <thread>

#include "server/http/session_impl.h"
#include "server/service.h"
#include "tests/server/fake_model.h"

namespace ft::server {
namespace {

using Socket = net::local::stream_protocol::socket;
using Error = boost::system::error_code;

// Which operation fails; shared with the test, which wants to know how many there were.
struct Faults {
  int fail_at = 0;  // 0 = never
  std::atomic<int> operations{0};
  bool next_fails() { return ++operations == fail_at; }
};

// A socket whose N-th operation is an error instead.
class FaultyStream {
 public:
  using executor_type = Socket::executor_type;

  FaultyStream(Socket socket, std::shared_ptr<Faults> faults)
      : socket_(std::move(socket)), faults_(std::move(faults)) {}
  executor_type get_executor() { return socket_.get_executor(); }

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    break_if_due();
    return socket_.async_read_some(buffers, std::forward<Token>(token));
  }
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    break_if_due();
    return socket_.async_write_some(buffers, std::forward<Token>(token));
  }
  template <class Buffers>
  size_t write_some(const Buffers& buffers, Error& error) {
    break_if_due();
    return socket_.write_some(buffers, error);
  }
  void shutdown(net::socket_base::shutdown_type type, Error& error) { socket_.shutdown(type, error); }
  void close(Error& error) { socket_.close(error); }

 private:
  // The operation, and all after it, find a closed descriptor.
  void break_if_due() {
    Error ignored;
    if (faults_->next_fails()) socket_.close(ignored);
  }

  Socket socket_;
  std::shared_ptr<Faults> faults_;
};

struct SessionRun {
  bool ended = false;
  int operations = 0;
  int64_t still_running = 0;
  std::string received;
};

// Two requests over a connection that fails at operation `fail_at`.
SessionRun run_session(int fail_at) {
  Options options;
  Service service(options);
  auto backend = std::make_unique<testing::ScriptedBackend>(
      [](const scheduler::GenerateRequest&) { return testing::say("The answer."); });
  testing::ScriptedBackend* engine = backend.get();
  service.set_model(testing::fake_model(std::move(backend)));

  BodyBudget bodies(options.max_buffered_bytes);
  TextPool text(1);
  SessionRun run;
  auto faults = std::make_shared<Faults>();
  faults->fail_at = fail_at;
  {
    net::io_context context;
    Socket client(context);
    Socket server(net::make_strand(context));
    net::local::connect_pair(client, server);
    server.non_blocking(true);
    const std::string body = R"({"messages":[{"role":"user","content":"hi"}],"stream":true})";
    const std::string request = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                                std::to_string(body.size()) + "\r\n\r\n" + body;
    const std::string last = "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    Error error;
    net::write(client, net::buffer(request + last), error);
    auto session = std::make_shared<Session<FaultyStream>>(FaultyStream(std::move(server), faults),
                                                           SessionContext{options, service, bodies, text},
                                                           [&run] { run.ended = true; });
    session->start();
    session.reset();
    std::thread reader([&] {
      char bytes[4096];
      Error read_error;
      while (!read_error) {
        const size_t size = client.read_some(net::buffer(bytes), read_error);
        run.received.append(bytes, size);
      }
    });
    context.run_for(std::chrono::seconds(10));
    Error ignored;
    client.shutdown(Socket::shutdown_both, ignored);
    reader.join();
  }
  run.operations = faults->operations;
  for (int i = 0; i < 1000 && engine->running() > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  run.still_running = engine->running();
  return run;
}

TEST(Session, SurvivesEveryFailingOperation) {
  const SessionRun whole = run_session(0);
  ASSERT_TRUE(whole.ended);
  EXPECT_NE(whole.received.find("data: [DONE]"), std::string::npos);
  EXPECT_TRUE(whole.received.ends_with("{\"version\":\"0.1.0\"}"));
  ASSERT_GE(whole.operations, 5);
  for (int operation = 1; operation <= whole.operations; ++operation) {
    const SessionRun run = run_session(operation);
    EXPECT_TRUE(run.ended) << "operation " << operation;           // no coroutine is left waiting
    EXPECT_EQ(run.still_running, 0) << "operation " << operation;  // no request is left to the engine
  }
}

// A session that waits for its engine when its threads end goes with its executor, and a late token wakes nothing.
TEST(Session, GoesWithItsExecutor) {
  Options options;
  Service service(options);
  auto backend = std::make_unique<testing::ScriptedBackend>(
      [](const scheduler::GenerateRequest&) { return testing::say("The answer."); });
  testing::ScriptedBackend* engine = backend.get();
  engine->hold(true);
  service.set_model(testing::fake_model(std::move(backend)));
  BodyBudget bodies(options.max_buffered_bytes);
  TextPool text(1);
  std::weak_ptr<Session<FaultyStream>> session;
  bool ended = false;
  {
    net::io_context context;
    Socket client(context);
    Socket server(net::make_strand(context));
    net::local::connect_pair(client, server);
    server.non_blocking(true);
    const std::string body = R"({"messages":[{"role":"user","content":"hi"}],"stream":true})";
    Error error;
    net::write(client,
               net::buffer("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                           std::to_string(body.size()) + "\r\n\r\n" + body),
               error);
    auto started = std::make_shared<Session<FaultyStream>>(
        FaultyStream(std::move(server), std::make_shared<Faults>()),
        SessionContext{options, service, bodies, text}, [&ended] { ended = true; });
    started->start();
    session = started;
    started.reset();
    while (engine->requests().empty()) context.run_for(std::chrono::milliseconds(10));
    context.run_for(std::chrono::milliseconds(50));
    ASSERT_FALSE(session.expired());
    session.lock()->abandon();
    engine->hold(false);
    for (int i = 0; i < 1000 && engine->running() > 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_FALSE(ended);
  }
  EXPECT_TRUE(ended);
  EXPECT_TRUE(session.expired());
  EXPECT_EQ(engine->running(), 0);
}

}  // namespace
}  // namespace ft::server
