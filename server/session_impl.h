// The session over any stream: real sockets in session.cc, failing ones in tests.
//
// Stream: an Asio stream with get_executor() (a strand), async_read_some, async_write_some, shutdown(type,
// error) and close(error), as tcp::socket.
#pragma once

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "server/event_stream.h"
#include "server/log.h"
#include "server/session.h"
#include "server/waker.h"

namespace ft::server {

namespace net = boost::asio;
namespace http = boost::beast::http;

template <class Stream>
class Session : public Connection, public std::enable_shared_from_this<Session<Stream>> {
 public:
  Session(Stream stream, const Options& options, Service& service, std::function<void()> ended)
      : stream_(std::move(stream)),
        options_(options),
        service_(service),
        ended_(std::move(ended)),
        deadline_timer_(stream_.get_executor()),
        wake_timer_(stream_.get_executor()) {}

  ~Session() override {
    if (waker_) waker_->detach();  // where the executor ended before the session did
  }

  void start() {
    net::co_spawn(
        stream_.get_executor(), [self = this->shared_from_this()] { return self->run(); },
        [self = this->shared_from_this()](std::exception_ptr failure) { self->end(failure); });
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
      self->wake_timer_.cancel();
      if (self->idle_) self->close();
    });
  }

 private:
  using Clock = std::chrono::steady_clock;
  using Error = boost::system::error_code;
  using Parser = http::request_parser<http::string_body>;

  static constexpr std::chrono::seconds kAbortGrace{2};
  // Bytes that are read and dropped so that the client sees the response instead of a reset.
  static constexpr size_t kLingerBytes = 64 << 20;
  static constexpr std::chrono::seconds kLingerTime{5};
  // Pipelined bytes that are kept while a reply runs; more wait in the kernel.
  static constexpr size_t kPipelineBytes = 64 << 10;
  static constexpr size_t kReadBytes = 16 << 10;

  net::awaitable<void> run() {
    co_await net::this_coro::throw_if_cancelled(false);
    while (co_await serve_one()) {
    }
    Error ignored;
    stream_.shutdown(net::socket_base::shutdown_send, ignored);
    if (linger_) co_await drop_input();
    close();
  }

  // One request and its response. False when the connection is to end.
  net::awaitable<bool> serve_one() {
    if (!co_await wait_for_request()) co_return false;
    Parser parser;
    parser.header_limit(static_cast<std::uint32_t>(options_.max_header_bytes));
    parser.body_limit(static_cast<std::uint64_t>(options_.max_body_bytes));
    set_deadline(std::chrono::seconds(options_.request_seconds));
    HttpRequest request;
    if (!co_await read_request(parser, request)) co_return false;
    clear_deadline();

    waker_ = std::make_shared<Waker>(wake_timer_);
    Outcome outcome = service_.handle(request, [waker = waker_] { waker->wake(); });
    bool alive = false;
    if (auto* response = std::get_if<HttpResponse>(&outcome)) {
      alive = co_await send_response(request, *response);
    } else {
      alive = co_await serve_reply(request, *std::get<std::unique_ptr<Reply>>(outcome));
    }
    waker_->detach();
    co_return alive&& request.keep_alive && !draining_;
  }

  // Until the first byte of a request is there.
  net::awaitable<bool> wait_for_request() {
    if (draining_) co_return false;
    if (buffer_.size() > 0) co_return true;  // pipelined
    idle_ = true;
    set_deadline(std::chrono::seconds(options_.idle_seconds));
    auto [error, size] = co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kUseTuple);
    idle_ = false;
    buffer_.commit(size);
    co_return !error && size > 0 && !closed_;
  }

  net::awaitable<bool> read_request(Parser& parser, HttpRequest& request) {
    auto [head_error, head_size] = co_await http::async_read_header(stream_, buffer_, parser, kUseTuple);
    if (head_error) co_return co_await refuse_request(head_error, request);
    if (boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      auto [error, size] =
          co_await net::async_write(stream_, net::buffer(kContinue.data(), kContinue.size()), kUseTuple);
      if (error) co_return false;
    }
    auto [body_error, body_size] = co_await http::async_read(stream_, buffer_, parser, kUseTuple);
    if (body_error) co_return co_await refuse_request(body_error, request);

    request.keep_alive = parser.keep_alive();
    auto message = parser.release();
    request.method = std::string(message.method_string());
    request.target = std::string(message.target());
    request.http11 = message.version() >= 11;
    for (const auto& field : message.base()) {
      std::string name(field.name_string());
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      request.headers.emplace_back(std::move(name), std::string(field.value()));
    }
    request.body = std::move(message.body());
    request.arrived = Clock::now();
    service_.identify(request);
    co_return true;
  }

  // A request that cannot be read is answered where there is somebody to answer; false always.
  net::awaitable<bool> refuse_request(Error error, HttpRequest& request) {
    if (error.category() != http::make_error_code(http::error::end_of_stream).category() ||
        error == http::error::end_of_stream || error == http::error::partial_message || closed_) {
      co_return false;  // the client or the deadline closed the connection
    }
    ApiError refusal_of = refusal(400, "malformed HTTP: " + error.message(), "malformed_http");
    if (error == http::error::body_limit) {
      refusal_of = refusal(413, fmt::format("the body is larger than {} bytes", options_.max_body_bytes),
                           "body_too_large");
    } else if (error == http::error::header_limit) {
      refusal_of = refusal(431, fmt::format("the head is larger than {} bytes", options_.max_header_bytes),
                           "head_too_large");
    }
    request.keep_alive = false;
    service_.identify(request);
    linger_ = true;
    co_await send_response(request, service_.refuse_early(refusal_of));
    co_return false;
  }

  net::awaitable<bool> send_response(const HttpRequest& request, const HttpResponse& response) {
    std::string out = response_head(request, response, service_.headers(request), true, stays_open(request));
    if (request.method != "HEAD") out += response.body;
    set_deadline(std::chrono::seconds(options_.write_seconds));
    auto [error, size] = co_await net::async_write(stream_, net::buffer(out), kUseTuple);
    clear_deadline();
    co_return !error;
  }

  // Runs a reply beside a read that notices the client's leaving. True when all of it was sent.
  net::awaitable<bool> serve_reply(HttpRequest& request, Reply& reply) {
    using net::experimental::awaitable_operators::operator||;
    reply_sent_ = false;
    co_await (drive(request, reply) || watch_client());
    if (!reply_sent_) reply.cancel();
    co_return reply_sent_;
  }

  net::awaitable<void> drive(HttpRequest& request, Reply& reply) {
    co_await net::this_coro::throw_if_cancelled(false);
    const bool sent =
        reply.stream() ? co_await drive_stream(request, reply) : co_await drive_whole(request, reply);
    reply_sent_ = sent;
  }

  net::awaitable<bool> drive_stream(HttpRequest& request, Reply& reply) {
    // Without chunks only the end of the connection can end the body.
    if (!request.http11) request.keep_alive = false;
    EventStream<Stream> events(stream_, request.http11);
    HttpResponse head;
    head.content_type = "text/event-stream; charset=utf-8";
    head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
    set_deadline(std::chrono::seconds(options_.write_seconds));
    if (co_await events.open(
            response_head(request, head, service_.headers(request), false, stays_open(request)))) {
      co_return false;
    }
    clear_deadline();
    const auto keepalive = std::chrono::seconds(options_.keepalive_seconds);
    Clock::time_point silent_since = Clock::now();
    std::string out;
    for (bool over = false; !over;) {
      if (co_await was_cancelled()) co_return false;
      waker_->take();
      over = pump(reply, out);
      if (out.empty() && !over) {
        if (reply.has_more()) {
          co_await let_others_run();
          continue;
        }
        if (Clock::now() - silent_since >= keepalive) {
          out = kKeepAliveComment;
        } else {
          co_await wait_until(silent_since + keepalive);
          continue;
        }
      }
      if (!out.empty()) {
        set_deadline(std::chrono::seconds(options_.write_seconds));
        if (co_await events.send(out)) co_return false;
        clear_deadline();
        silent_since = Clock::now();
        out.clear();
      }
    }
    co_return !co_await events.close();
  }

  net::awaitable<bool> drive_whole(HttpRequest& request, Reply& reply) {
    std::string unused;
    for (;;) {
      if (co_await was_cancelled()) co_return false;
      waker_->take();
      if (pump(reply, unused)) break;
      if (reply.has_more()) {
        co_await let_others_run();
      } else {
        co_await wait_until(Clock::time_point::max());
      }
    }
    co_return co_await send_response(request, reply.response());
  }

  bool pump(Reply& reply, std::string& out) {
    if (aborting_) reply.cancel();
    return reply.pump(out);
  }

  // A session with a lot to do does it in parts.
  net::awaitable<void> let_others_run() { co_await net::post(stream_.get_executor(), net::use_awaitable); }

  // Until the engine wakes us or the time has come.
  net::awaitable<void> wait_until(Clock::time_point time) {
    if (waker_->take()) co_return;
    wake_timer_.expires_at(time);
    co_await wake_timer_.async_wait(kUseTuple);
  }

  // Asked before every wait: a cancellation that comes while an operation is completing interrupts nothing.
  net::awaitable<bool> was_cancelled() {
    const auto state = co_await net::this_coro::cancellation_state;
    co_return state.cancelled() != net::cancellation_type::none || closed_;
  }

  // Returns when the client has closed its sending side, which counts as leaving: clients that want the rest
  // of a stream do not do that. What it sends meanwhile is the next request.
  net::awaitable<void> watch_client() {
    co_await net::this_coro::throw_if_cancelled(false);
    while (buffer_.size() < kPipelineBytes) {
      auto [error, size] = co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kUseTuple);
      buffer_.commit(size);
      // A cancellation that met a completed read is known here only: without asking, the next read would
      // never end.
      if (error || size == 0 || co_await was_cancelled()) co_return;
    }
    // Too much was sent ahead; a write will notice if the client leaves.
    net::steady_timer never(stream_.get_executor(), Clock::time_point::max());
    co_await never.async_wait(kUseTuple);
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

  // One timer serves all deadlines: it is re-armed only when it fires or when it would fire too late.
  void set_deadline(Clock::duration time) {
    if (aborting_) return;
    deadline_ = Clock::now() + time;
    if (!deadline_armed_ || deadline_timer_.expiry() > deadline_) arm_deadline();
  }
  void clear_deadline() {
    if (!aborting_) deadline_ = Clock::time_point::max();
  }
  void arm_deadline() {
    deadline_armed_ = true;
    deadline_timer_.expires_at(deadline_);
    deadline_timer_.async_wait([weak = this->weak_from_this()](Error error) {
      const auto self = weak.lock();
      if (!self || error) return;  // re-armed or gone
      self->deadline_armed_ = false;
      if (self->closed_ || self->deadline_ == Clock::time_point::max()) return;
      if (Clock::now() >= self->deadline_) return self->close();
      self->arm_deadline();
    });
  }

  void close() {
    if (std::exchange(closed_, true)) return;
    Error ignored;
    stream_.close(ignored);
    wake_timer_.cancel();
  }

  void end(std::exception_ptr failure) {
    close();
    deadline_timer_.cancel();
    if (waker_) waker_->detach();
    if (failure) {
      try {
        std::rethrow_exception(failure);
      } catch (const std::exception& error) {
        log(LogLevel::kError, "a session ended unexpectedly: {}", error.what());
      }
    }
    ended_();
  }

  Stream stream_;
  const Options& options_;
  Service& service_;
  std::function<void()> ended_;
  boost::beast::flat_buffer buffer_;
  net::steady_timer deadline_timer_;
  net::steady_timer wake_timer_;
  std::shared_ptr<Waker> waker_;
  Clock::time_point deadline_ = Clock::time_point::max();
  bool deadline_armed_ = false;
  bool idle_ = false;
  bool draining_ = false;
  bool aborting_ = false;
  bool closed_ = false;
  bool linger_ = false;
  bool reply_sent_ = false;
};

}  // namespace ft::server
