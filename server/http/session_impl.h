// The session over any stream: real sockets in session.cc, failing ones in tests.
//
// Stream: an Asio stream with get_executor() (a strand), async_read_some, async_write_some, write_some(buffers, error)
// that does not block, shutdown(type, error) and close(error), as a tcp::socket that is set to non_blocking.
#pragma once

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "server/http/content_coding.h"
#include "server/http/event_stream.h"
#include "server/http/lazy_timer.h"
#include "server/http/request_parser.h"
#include "server/http/session.h"
#include "server/http/text_task.h"
#include "server/http/waker.h"
#include "server/log.h"

namespace ft::server {

namespace net = boost::asio;

// No co_await stands in a condition here: gcc 12 may leave the state of such a coroutine uninitialised.
template <class Stream>
class Session : public Connection, public std::enable_shared_from_this<Session<Stream>> {
 public:
  Session(Stream stream, const SessionContext& context, std::function<void()> ended)
      : stream_(std::move(stream)),
        options_(context.options),
        service_(context.service),
        bodies_(context.bodies),
        text_(context.text),
        ended_(std::move(ended)),
        deadline_(stream_.get_executor()),
        silence_(stream_.get_executor()) {}

  ~Session() override {
    if (waker_) waker_->detach();  // where the executor ended before the session did
  }

  void start() {
    net::co_spawn(
        stream_.get_executor(), [self = this->shared_from_this()] { return run(self); }, net::detached);
  }

  void drain() override {
    net::post(stream_.get_executor(), [self = this->shared_from_this()] {
      self->draining_ = true;
      if (self->idle_) self->close();
    });
  }

  void abort() override {
    net::post(stream_.get_executor(), [self = this->shared_from_this()] {
      self->draining_ = true;
      // Whatever is stuck in a write or waits for the engine ends with this deadline, which nothing moves.
      self->set_deadline(kAbortGrace);
      self->aborting_ = true;
      self->wake_up();
      if (self->idle_) self->close();
    });
  }

  void abandon() override {
    if (waker_) waker_->abandon();
  }

 private:
  using Clock = std::chrono::steady_clock;
  using Error = boost::system::error_code;
  static constexpr std::chrono::seconds kAbortGrace{2};
  // Bytes that are read and dropped so that the client sees the response instead of a reset.
  static constexpr size_t kLingerBytes = 64 << 20;
  static constexpr std::chrono::seconds kLingerTime{5};
  // Pipelined bytes that are kept while a reply runs; more wait in the kernel.
  static constexpr size_t kPipelineBytes = 64 << 10;
  static constexpr size_t kReadBytes = 16 << 10;
  // More than a head that is not yet complete, or pipelined bytes, with one read behind them.
  static constexpr size_t kBufferBytes = 128 << 10;
  static_assert(kBufferBytes >= std::max<size_t>(kPipelineBytes, kHeaderBytesMax) + kReadBytes);
  // A body that is not wanted is read up to this size to keep the connection.
  static constexpr uint64_t kUnwantedBytes = 64 << 10;
  // Work on fewer bytes of text is done at once, on more on the text pool.
  static constexpr size_t kInlineBytes = 4 << 10;
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  // When a client that has closed its sending side is written to, to see whether it is still there: a closed socket
  // answers the first bytes with a reset, which the next write finds.
  static constexpr std::array<std::chrono::milliseconds, 4> kProbeTimes{
      std::chrono::milliseconds(0), std::chrono::milliseconds(100), std::chrono::milliseconds(400),
      std::chrono::milliseconds(1600)};

  // Ends the session with the coroutine, also when that is dropped half-way: by an exception that is thrown
  // between its steps, where it cannot catch it.
  struct AtEnd {
    std::shared_ptr<Session> session;
    explicit AtEnd(std::shared_ptr<Session> ending) : session(std::move(ending)) {}
    AtEnd(const AtEnd&) = delete;
    AtEnd& operator=(const AtEnd&) = delete;
    ~AtEnd() { session->end(); }
  };

  static net::awaitable<void> run(std::shared_ptr<Session> self) {
    const AtEnd at_end(self);
    try {
      co_await net::this_coro::throw_if_cancelled(false);
      for (bool more = true; more;) more = co_await self->serve_one();
      Error ignored;
      self->stream_.shutdown(net::socket_base::shutdown_send, ignored);
      if (self->linger_) co_await self->drop_input();
    } catch (const std::exception& error) {
      log(LogLevel::kError, "a connection was closed: {}", error.what());
    }
  }

  // One request and its response. False when the connection is to end.
  net::awaitable<bool> serve_one() {
    const bool begun = co_await wait_for_request();
    if (!begun) co_return false;
    answered_ = false;
    HttpRequest head;
    std::optional<ApiError> failure;
    bool alive = false;
    try {
      alive = co_await answer_one(head);
    } catch (const std::bad_alloc&) {
      failure = refusal(503, "there was not enough memory for this request", "out_of_memory");
      failure->retry_after_seconds = 1;
    } catch (const std::exception& error) {
      failure = refusal(500, "the request failed inside the server", "internal_error");
      log(LogLevel::kError, "{} failed: {}", head.id, error.what());
    }
    if (!failure) co_return alive;
    log(LogLevel::kError, "{}: {}", head.id, failure->message);
    // Half a response cannot be taken back.
    if (answered_ || closed_) co_return false;
    co_return co_await refuse(head, *failure);
  }

  // `head` gets all of the request but its body, as soon as it is known.
  net::awaitable<bool> answer_one(HttpRequest& head) {
    const auto body_max = static_cast<uint64_t>(service_.body_bytes_max());
    RequestParser parser({static_cast<size_t>(options_.max_header_bytes), body_max}, bodies_);
    begin_reading();
    const bool has_head = co_await read(parser, true);
    head = parser.request().without_body();
    service_.identify(head);
    if (!has_head) co_return co_await refuse_unread(parser, head);
    if (const auto refused = service_.admit(head)) co_return co_await refuse_unwanted(parser, head, *refused);
    if (parser.expects_continue() && !parser.done()) {
      auto [error, size] =
          co_await net::async_write(stream_, net::buffer(kContinue.data(), kContinue.size()), kUseTuple);
      if (error) co_return false;
    }
    const bool has_all = co_await read(parser, false);
    if (!has_all) co_return co_await refuse_unread(parser, head);
    end_reading();

    // Shared with the worker that may still read it when the session is gone.
    const auto request = std::make_shared<HttpRequest>(std::move(parser.request()));
    request->id = head.id;
    request->arrived = head.arrived = Clock::now();
    waker_ = std::make_shared<Waker>(stream_.get_executor());
    const auto work = std::make_shared<TextTask<Outcome>>(stream_.get_executor());
    co_await answer(request, body_max, work);
    bool alive = false;
    if (work->finished()) {
      Outcome outcome = work->take();
      if (auto* response = std::get_if<HttpResponse>(&outcome)) {
        alive = co_await send_response(head, *response);
      } else {
        alive = co_await serve_reply(head, std::get<std::unique_ptr<PendingResponse>>(std::move(outcome)));
      }
    }
    waker_->detach();
    co_return alive&& head.keep_alive && !draining_;
  }

  // Has the service answer, here or on the text pool. The work is not finished when the client left before.
  net::awaitable<void> answer(std::shared_ptr<HttpRequest> request, uint64_t body_max,
                              std::shared_ptr<TextTask<Outcome>> work) {
    using net::experimental::awaitable_operators::operator||;
    // What a coded body holds is not known before; it counts as a large one.
    const size_t bytes =
        is_coded(*request) ? std::max(request->body.size(), TextPool::kSmallBytes + 1) : request->body.size();
    auto handle = [&service = service_, request, body_max, waker = waker_]() -> Outcome {
      if (auto decoded = decode_body(*request, body_max); !decoded)
        return service.refuse_early(*request, decoded.error());
      Outcome outcome = service.handle(*request, [waker] { waker->wake(); });
      request->release_body();
      return outcome;
    };
    if (bytes <= kInlineBytes) {
      work->run_here(handle);
      co_return;
    }
    work->start(text_, bytes, std::move(handle));
    co_await (wait_for(work) || watch_client());
    if (!work->finished()) work->abandon();
  }

  template <class T>
  net::awaitable<void> wait_for(std::shared_ptr<TextTask<T>> work) {
    co_await net::this_coro::throw_if_cancelled(false);
    for (bool cancelled = false; !work->finished();) {
      cancelled = co_await was_cancelled();
      if (cancelled) co_return;
      co_await work->timer().async_wait(kUseTuple);
    }
  }

  // Until the first byte of a request is there.
  net::awaitable<bool> wait_for_request() {
    if (draining_) co_return false;
    if (buffer_.size() > 0) co_return true;  // pipelined
    if (half_closed_) co_return false;
    buffer_.shrink_to_fit();
    idle_ = true;
    set_deadline(std::chrono::seconds(options_.idle_seconds));
    auto [error, size] = co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kUseTuple);
    idle_ = false;
    buffer_.commit(size);
    co_return !error && size > 0 && !closed_;
  }

  // Reads until the head, or all of the request, is there. False when it is refused, or nothing more comes.
  net::awaitable<bool> read(RequestParser& parser, bool head_only) {
    for (;;) {
      const auto bytes = buffer_.data();
      buffer_.consume(parser.feed({static_cast<const char*>(bytes.data()), bytes.size()}));
      if (parser.fault()) co_return false;
      if (head_only ? parser.head_done() : parser.done()) co_return true;
      if (half_closed_) co_return false;  // Asio would not see the end of the stream a second time
      auto [error, size] = co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kUseTuple);
      buffer_.commit(size);
      if (error || size == 0) co_return false;
    }
  }

  // A request that was not read to its end; it is answered where there is somebody to answer. False always.
  net::awaitable<bool> refuse_unread(const RequestParser& parser, HttpRequest& head) {
    end_reading();
    if (closed_) co_return false;
    if (parser.fault()) co_return co_await refuse(head, *parser.fault());
    if (!timed_out_) co_return false;  // the client left
    co_return co_await refuse(
        head, refusal(408, fmt::format("the request was not complete after {} s", options_.request_seconds),
                      "request_timeout"));
  }

  // The last response of a connection. False always.
  net::awaitable<bool> refuse(HttpRequest& head, const ApiError& error) {
    head.keep_alive = false;
    linger_ = true;
    co_await send_response(head, service_.refuse_early(head, error));
    co_return false;
  }

  // A request whose head says enough to refuse it: its body is not waited for. The connection is kept if the
  // body is short.
  net::awaitable<bool> refuse_unwanted(RequestParser& parser, HttpRequest& head,
                                       const HttpResponse& response) {
    end_reading();
    const auto announced = parser.announced();
    if (!announced || *announced > kUnwantedBytes || parser.expects_continue()) {
      head.keep_alive = false;
      linger_ = true;
    }
    const bool sent = co_await send_response(head, response);
    if (!sent || !head.keep_alive) co_return false;
    parser.drop_body();
    begin_reading();
    const bool dropped = co_await read(parser, false);
    end_reading();
    co_return dropped && !draining_;
  }

  net::awaitable<bool> send_response(const HttpRequest& request, const HttpResponse& response) {
    std::string out = response_head(request, response, service_.headers(request), true, stays_open(request));
    if (request.method != "HEAD") out += response.body;
    answered_ = true;
    set_deadline(std::chrono::seconds(options_.write_seconds));
    auto [error, size] = co_await net::async_write(stream_, net::buffer(out), kUseTuple);
    clear_deadline();
    co_return !error;
  }

  // Runs a reply beside a read that notices the client's leaving. True when all of it was sent.
  net::awaitable<bool> serve_reply(HttpRequest& request, std::shared_ptr<PendingResponse> reply) {
    using net::experimental::awaitable_operators::operator||;
    reply_sent_ = false;
    co_await (drive(request, reply) || watch_client());
    if (!reply_sent_) reply->cancel();
    co_return reply_sent_;
  }

  net::awaitable<void> drive(HttpRequest& request, std::shared_ptr<PendingResponse> reply) {
    co_await net::this_coro::throw_if_cancelled(false);
    bool sent = false;
    if (reply->stream()) {
      sent = co_await drive_stream(request, *reply);
    } else {
      sent = co_await drive_whole(request, reply);
    }
    reply_sent_ = sent;
  }

  net::awaitable<bool> drive_stream(HttpRequest& request, PendingResponse& reply) {
    // Without chunks only the end of the connection can end the body.
    if (!request.http11) request.keep_alive = false;
    EventStream<Stream> events(stream_, request.http11);
    HttpResponse head;
    head.content_type = "text/event-stream; charset=utf-8";
    head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
    answered_ = true;
    set_deadline(std::chrono::seconds(options_.write_seconds));
    Error error = co_await events.open(
        response_head(request, head, service_.headers(request), false, stays_open(request)));
    if (error) co_return false;
    clear_deadline();
    const auto keepalive = std::chrono::seconds(options_.keepalive_seconds);
    Clock::time_point silent_since = Clock::now();
    for (;;) {
      const bool cancelled = co_await was_cancelled();
      if (cancelled) co_return false;
      waker_->take();
      const bool over = pump(reply, events.events());
      const bool more = !over && reply.has_more();
      const Clock::time_point due = std::min(silent_since + keepalive, next_probe());
      if (events.empty() && !over && !more && Clock::now() >= due) {
        if (due == next_probe()) ++probes_;
        events.events() += kKeepAliveComment;
      }
      if (!events.empty() || over) {
        const bool at_once = events.send(over, error);
        if (!at_once) {
          set_deadline(std::chrono::seconds(options_.write_seconds));
          error = co_await events.send_rest();
          clear_deadline();
        }
        if (error) co_return false;
        if (over) co_return true;
        silent_since = Clock::now();
        if (!at_once) continue;  // the client may have left meanwhile
      }
      if (more) {
        co_await let_others_run();
      } else {
        co_await wait_until(std::min(silent_since + keepalive, next_probe()));
      }
    }
  }

  net::awaitable<bool> drive_whole(HttpRequest& request, std::shared_ptr<PendingResponse> reply) {
    std::string unused;
    for (;;) {
      const bool cancelled = co_await was_cancelled();
      if (cancelled) co_return false;
      waker_->take();
      if (pump(*reply, unused)) break;
      if (reply->has_more()) {
        co_await let_others_run();
      } else if (request.http11 && Clock::now() >= next_probe()) {
        ++probes_;
        set_deadline(std::chrono::seconds(options_.write_seconds));
        auto [error, size] =
            co_await net::async_write(stream_, net::buffer(kContinue.data(), kContinue.size()), kUseTuple);
        clear_deadline();
        if (error) co_return false;
      } else {
        // The engine wakes us; where it could not, we look by ourselves.
        const auto look = Clock::now() + std::chrono::seconds(options_.keepalive_seconds);
        co_await wait_until(request.http11 ? std::min(look, next_probe()) : look);
      }
    }
    const auto work = std::make_shared<TextTask<HttpResponse>>(stream_.get_executor());
    auto write = [reply] { return reply->response(); };
    if (reply->size() <= kInlineBytes) {
      work->run_here(write);
    } else {
      work->start(text_, reply->size(), write);
      co_await wait_for(work);
    }
    if (!work->finished()) co_return false;
    const HttpResponse response = work->take();
    co_return co_await send_response(request, response);
  }

  bool pump(PendingResponse& reply, std::string& out) {
    if (aborting_) reply.cancel();
    return reply.pump(out);
  }

  // A session with a lot to do does it in parts.
  net::awaitable<void> let_others_run() { co_await net::post(stream_.get_executor(), net::use_awaitable); }

  // Until the engine wakes us or the time has come. Others run meanwhile.
  net::awaitable<void> wait_until(Clock::time_point time) {
    const bool woken = waker_->take();
    if (woken) {
      co_await let_others_run();
      co_return;
    }
    silence_.set(time, *this, &Session::wake_up);
    co_await waker_->async_wait(kUseTuple);
    silence_.clear();
  }

  void wake_up() {
    if (waker_) waker_->wake();
  }

  // Asked before every wait: a cancellation that comes while an operation is completing interrupts nothing.
  net::awaitable<bool> was_cancelled() {
    const auto state = co_await net::this_coro::cancellation_state;
    co_return state.cancelled() != net::cancellation_type::none || closed_;
  }

  // Returns when the client is gone. One that has only closed its sending side may wait for its reply; which of the two
  // it is, writing tells. What it sends meanwhile is the next request.
  net::awaitable<void> watch_client() {
    co_await net::this_coro::throw_if_cancelled(false);
    while (buffer_.size() < kPipelineBytes && !half_closed_) {
      auto [error, size] = co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kUseTuple);
      buffer_.commit(size);
      // A cancellation that met a completed read is known here only: without asking, the next read would
      // never end.
      const bool cancelled = co_await was_cancelled();
      if (error == net::error::eof) {
        half_closed_ = true;
        half_closed_at_ = Clock::now();
        wake_up();
      } else if (error || size == 0) {
        co_return;
      }
      if (cancelled) co_return;
    }
    // Too much was sent ahead, or nothing more comes; a write will notice if the client leaves.
    net::steady_timer never(stream_.get_executor(), Clock::time_point::max());
    co_await never.async_wait(kUseTuple);
  }

  Clock::time_point next_probe() const {
    return half_closed_ && probes_ < kProbeTimes.size() ? half_closed_at_ + kProbeTimes[probes_]
                                                        : Clock::time_point::max();
  }

  net::awaitable<void> drop_input() {
    set_deadline(kLingerTime);
    buffer_.clear();
    for (size_t dropped = 0; dropped < kLingerBytes;) {
      auto [error, size] = co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kUseTuple);
      if (error || size == 0) co_return;
      dropped += size;
    }
  }

  bool stays_open(const HttpRequest& request) const { return request.keep_alive && !draining_; }

  void set_deadline(Clock::duration time) {
    if (!aborting_) deadline_.set(Clock::now() + time, *this, &Session::miss_deadline);
  }
  void clear_deadline() {
    if (!aborting_) deadline_.clear();
  }

  // A client that is too slow with its request is told so; the pending read ends as if the client had closed.
  void miss_deadline() {
    if (closed_) return;
    if (!reading_ || aborting_) return close();
    timed_out_ = true;
    Error ignored;
    stream_.shutdown(net::socket_base::shutdown_receive, ignored);
  }
  void begin_reading() {
    reading_ = true;
    set_deadline(std::chrono::seconds(options_.request_seconds));
  }
  void end_reading() {
    reading_ = false;
    clear_deadline();
  }

  void close() {
    if (std::exchange(closed_, true)) return;
    Error ignored;
    stream_.close(ignored);
    wake_up();
  }

  void end() {
    close();
    deadline_.cancel();
    silence_.cancel();
    if (waker_) waker_->detach();
    ended_();
  }

  Stream stream_;
  const HttpOptions& options_;
  HttpService& service_;
  BodyBudget& bodies_;
  TextPool& text_;
  std::function<void()> ended_;
  boost::beast::flat_buffer buffer_{kBufferBytes};
  LazyTimer deadline_;  // of whatever the session waits for at the network
  LazyTimer silence_;   // of a stream in which nothing happens
  std::shared_ptr<Waker> waker_;
  bool idle_ = false;
  bool reading_ = false;    // a request
  bool timed_out_ = false;  // while reading
  bool answered_ = false;   // something of the response may have been sent
  bool draining_ = false;
  bool aborting_ = false;
  bool closed_ = false;
  bool linger_ = false;
  bool reply_sent_ = false;
  bool half_closed_ = false;  // the client will send nothing more
  Clock::time_point half_closed_at_;
  size_t probes_ = 0;  // sent since then
};

}  // namespace ft::server
