#include "eval/load/http_calls.h"

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>

#include "eval/load/event_parser.h"

namespace ft::eval {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

constexpr size_t kPieceBytes = 16384;
constexpr size_t kErrorBytes = 400;  // of a body that is quoted in a message

class CallRunner {
 public:
  CallRunner(const Url& url, std::span<const HttpCall> calls, const CallLimits& limits,
             const std::function<void(size_t)>& on_end)
      : url_(url),
        calls_(calls),
        limits_(limits),
        on_end_(on_end),
        replies_(calls.size()),
        timer_(context_) {}

  std::vector<HttpReply> run() {
    asio::co_spawn(context_, begin_all(), asio::detached);
    context_.run();
    return std::move(replies_);
  }

 private:
  double now() const { return std::chrono::duration<double>(Clock::now() - started_).count(); }

  // Begins the calls one after the other, each in a coroutine of its own.
  asio::awaitable<void> begin_all() {
    boost::system::error_code error;
    tcp::resolver resolver(context_);
    endpoints_ = co_await resolver.async_resolve(url_.host, url_.port,
                                                 asio::redirect_error(asio::use_awaitable, error));
    started_ = Clock::now();
    if (error) {
      for (HttpReply& reply : replies_) fail(reply, CallError::kConnect, error.message());
      co_return;
    }
    for (size_t i = 0; i < calls_.size(); ++i) {
      while (limits_.concurrency > 0 && open_ >= limits_.concurrency) {
        timer_.expires_at(Clock::time_point::max());
        co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, error));
      }
      const auto at =
          started_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(calls_[i].at));
      while (Clock::now() < at) {
        timer_.expires_at(at);
        co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, error));
      }
      ++open_;
      asio::co_spawn(context_, call(i), asio::detached);
    }
  }

  asio::awaitable<void> call(size_t index) {
    HttpReply& reply = replies_[index];
    reply.sent = now();
    beast::tcp_stream stream(context_);
    stream.expires_after(
        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(limits_.timeout_seconds)));
    boost::system::error_code error;
    co_await stream.async_connect(endpoints_, asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      fail(reply, error == beast::error::timeout ? CallError::kTimeout : CallError::kConnect,
           error.message());
    } else {
      stream.socket().set_option(tcp::no_delay(true), error);
      co_await exchange(stream, calls_[index], reply);
      stream.socket().shutdown(tcp::socket::shutdown_both, error);
    }
    reply.ended = now();
    --open_;
    timer_.cancel();
    if (on_end_) on_end_(index);
  }

  asio::awaitable<void> exchange(beast::tcp_stream& stream, const HttpCall& call, HttpReply& reply) {
    http::request<http::string_body> request(call.body.empty() ? http::verb::get : http::verb::post,
                                             call.target, 11);
    request.set(http::field::host, url_.host + ":" + url_.port);
    request.set(http::field::user_agent, "foretoken-eval");
    request.set(http::field::connection, "close");
    if (!limits_.api_key.empty()) request.set(http::field::authorization, "Bearer " + limits_.api_key);
    if (!call.body.empty()) request.set(http::field::content_type, "application/json");
    request.body() = call.body;
    request.prepare_payload();
    boost::system::error_code error;
    co_await http::async_write(stream, request, asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return broken(reply, error);
    beast::flat_buffer buffer;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    co_await http::async_read_header(stream, buffer, parser,
                                     asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return broken(reply, error);
    reply.status = static_cast<int>(parser.get().result_int());
    const bool events = parser.get()[http::field::content_type].starts_with("text/event-stream");
    EventParser event_parser;
    std::string body;
    std::array<char, kPieceBytes> piece;
    while (!parser.is_done()) {
      parser.get().body().data = piece.data();
      parser.get().body().size = piece.size();
      co_await http::async_read_some(stream, buffer, parser,
                                     asio::redirect_error(asio::use_awaitable, error));
      if (error == http::error::need_buffer) error = {};
      const std::string_view bytes(piece.data(), piece.size() - parser.get().body().size);
      if (events && reply.status == 200) {
        for (std::string& data : event_parser.add(bytes)) reply.events.push_back({now(), std::move(data)});
      } else {
        body += bytes;
      }
      if (error) co_return broken(reply, error);
    }
    if (reply.status != 200) {
      fail(reply, CallError::kStatus, std::to_string(reply.status) + ": " + body.substr(0, kErrorBytes));
    } else if (!events) {
      reply.events.push_back({now(), std::move(body)});
    }
  }

  static void fail(HttpReply& reply, CallError error, std::string message) {
    reply.error = error;
    reply.message = std::move(message);
  }
  static void broken(HttpReply& reply, const boost::system::error_code& error) {
    fail(reply, error == beast::error::timeout ? CallError::kTimeout : CallError::kBroken, error.message());
  }

  const Url& url_;
  std::span<const HttpCall> calls_;
  const CallLimits& limits_;
  const std::function<void(size_t)>& on_end_;
  std::vector<HttpReply> replies_;
  asio::io_context context_{1};
  asio::steady_timer timer_;  // what begin_all() waits for: a moment, or the end of a call
  tcp::resolver::results_type endpoints_;
  Clock::time_point started_;
  int32_t open_ = 0;
};

}  // namespace

const char* call_error_name(CallError error) {
  switch (error) {
    case CallError::kNone:
      return "";
    case CallError::kConnect:
      return "connect";
    case CallError::kTimeout:
      return "timeout";
    case CallError::kBroken:
      return "broken";
    case CallError::kStatus:
      return "status";
  }
  return "";
}

std::vector<HttpReply> run_calls(const Url& url, std::span<const HttpCall> calls, const CallLimits& limits,
                                 const std::function<void(size_t)>& on_end) {
  return CallRunner(url, calls, limits, on_end).run();
}

}  // namespace ft::eval
