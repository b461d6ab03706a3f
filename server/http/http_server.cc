#include "server/http/http_server.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "server/http/body_budget.h"
#include "server/http/event_stream.h"
#include "server/http/session.h"
#include "server/http/text_pool.h"
#include "server/log.h"

namespace ft::server {

namespace net = boost::asio;
using net::ip::tcp;

namespace {

// The sessions that have not ended. Shared with them, because one may be the last to go.
class OpenConnections : public std::enable_shared_from_this<OpenConnections> {
 public:
  using Start = std::function<std::shared_ptr<Connection>(std::function<void()> ended)>;

  // The session runs on its own strand and may end before it is in the map: `ended` waits for the lock.
  void add(int64_t id, const Start& start) {
    const std::lock_guard lock(mutex_);
    const auto place = connections_.emplace(id, nullptr).first;
    try {
      place->second = start([self = shared_from_this(), id] { self->remove(id); });
    } catch (...) {
      connections_.erase(place);
      throw;
    }
  }

  int count() const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(connections_.size());
  }

  std::vector<std::shared_ptr<Connection>> list() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<Connection>> open;
    for (const auto& [id, connection] : connections_) open.push_back(connection);
    return open;
  }

  void wait_for_none(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    none_left_.wait_for(lock, time, [this] { return connections_.empty(); });
  }

 private:
  void remove(int64_t id) {
    std::shared_ptr<Connection> last;  // released outside the lock
    const std::lock_guard lock(mutex_);
    if (const auto found = connections_.find(id); found != connections_.end()) {
      last = std::move(found->second);
      connections_.erase(found);
    }
    if (connections_.empty()) none_left_.notify_all();
  }

  mutable std::mutex mutex_;  // of connections_
  std::condition_variable none_left_;
  std::unordered_map<int64_t, std::shared_ptr<Connection>> connections_;
};

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const HttpOptions& options, HttpService& service)
      : options_(options),
        service_(service),
        bodies_(options.max_buffered_bytes),
        context_(options.io_threads),
        acceptor_(net::make_strand(context_)),
        text_(options.text_threads) {}

  Result<void> bind() {
    boost::system::error_code error;
    tcp::resolver resolver(context_);
    const auto found =
        resolver.resolve(options_.host, std::to_string(options_.port), tcp::resolver::passive, error);
    if (error || found.empty()) {
      return fail(ErrorCode::kInvalidArgument, "--host {}: {}", options_.host, error.message());
    }
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(net::socket_base::max_listen_connections, error);
    if (error) {
      return fail(ErrorCode::kUnavailable, "cannot listen on {}:{}: {}", options_.host, options_.port,
                  error.message());
    }
    port_ = acceptor_.local_endpoint().port();
    return {};
  }

  void run() {
    net::co_spawn(acceptor_.get_executor(), accept_loop(), net::detached);
    for (int i = 0; i < options_.io_threads; ++i) threads_.emplace_back([this] { serve_sockets(); });
  }

  uint16_t port() const { return port_; }

  int connections() const { return open_->count(); }

  void stop(std::chrono::milliseconds drain) {
    if (threads_.empty()) return;
    net::post(acceptor_.get_executor(), [this] {
      boost::system::error_code ignored;
      acceptor_.close(ignored);
    });
    for (const auto& connection : open_->list()) connection->drain();
    open_->wait_for_none(drain);
    // A connection that was accepted while the others drained is in the second list.
    for (const auto& connection : open_->list()) connection->abort();
    open_->wait_for_none(std::chrono::seconds(5));
    context_.stop();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    for (const auto& connection : open_->list()) connection->abandon();  // those that did not end in time
  }

 private:
  // Handlers throw where memory runs out between the steps of a coroutine. That costs one connection, whose
  // coroutine is gone, and not the thread.
  void serve_sockets() {
    for (;;) {
      try {
        context_.run();
        return;
      } catch (const std::exception& error) {
        log(LogLevel::kError, "a handler of the I/O threads failed: {}", error.what());
      }
    }
  }

  net::awaitable<void> accept_loop() {
    while (acceptor_.is_open()) {
      auto [error, socket] =
          co_await acceptor_.async_accept(net::any_io_executor(net::make_strand(context_)), kUseTuple);
      if (!acceptor_.is_open()) co_return;
      if (!error) {
        welcome(std::move(socket));
        continue;
      }
      // Out of file descriptors, most likely: others must close first.
      log(LogLevel::kWarn, "accept: {}", error.message());
      net::steady_timer pause(acceptor_.get_executor(), std::chrono::milliseconds(100));
      co_await pause.async_wait(kUseTuple);
    }
  }

  void welcome(tcp::socket socket) {
    try {
      if (connections() >= options_.max_connections) {
        refuse(std::move(socket));
      } else {
        open_->add(next_id_++, [&](std::function<void()> ended) {
          return start_session(std::move(socket), {options_, service_, bodies_, text_}, std::move(ended));
        });
      }
    } catch (const std::exception& error) {
      log(LogLevel::kError, "a connection could not be taken: {}", error.what());
    }
  }

  // Best effort, one write without waiting: there is no room for a session.
  void refuse(tcp::socket socket) {
    ApiError error = refusal(503, fmt::format("{} connections are open already", options_.max_connections),
                             "too_many_connections");
    error.retry_after_seconds = 1;
    HttpRequest request;
    service_.identify(request);
    const HttpResponse response = service_.refuse_early(request, error);
    const std::string out =
        response_head(request, response, service_.headers(request), true, false) + response.body;
    boost::system::error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(net::buffer(out), ignored);
    socket.shutdown(net::socket_base::shutdown_send, ignored);
  }

  const HttpOptions& options_;
  HttpService& service_;
  BodyBudget bodies_;
  const std::shared_ptr<OpenConnections> open_ = std::make_shared<OpenConnections>();
  net::io_context context_;
  tcp::acceptor acceptor_;
  uint16_t port_ = 0;
  TextPool text_;  // its jobs end before the sessions that they belong to
  std::vector<std::thread> threads_;
  int64_t next_id_ = 0;
};

Result<std::unique_ptr<HttpServer>> HttpServer::start(const HttpOptions& options, HttpService& service) {
  auto impl = std::make_unique<Impl>(options, service);
  if (auto bound = impl->bind(); !bound) return tl::make_unexpected(bound.error());
  impl->run();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() {
  impl_->stop(std::chrono::milliseconds(0));
}
uint16_t HttpServer::port() const {
  return impl_->port();
}
int HttpServer::connections() const {
  return impl_->connections();
}
void HttpServer::stop(std::chrono::milliseconds drain) {
  impl_->stop(drain);
}

}  // namespace ft::server
