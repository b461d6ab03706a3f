#include "server/http/http_client.h"

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <csignal>
#include <limits>
#include <optional>
#include <utility>

namespace ft::server {

namespace http = boost::beast::http;
using boost::asio::ip::tcp;

struct HttpExchange::Impl {
  boost::asio::io_context context;
  tcp::socket socket{context};
  boost::beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  std::optional<boost::asio::signal_set> signals;
  bool interrupted = false;

  void cancel_at_interrupt() {
    signals.emplace(context, SIGINT);
    signals->async_wait([this](const boost::system::error_code& error, int) {
      if (error) return;
      interrupted = true;
      boost::system::error_code ignored;
      socket.close(ignored);
    });
  }

  // Runs one asynchronous operation to its end. `start` is given the handler for its result.
  template <class Start>
  boost::system::error_code wait(Start start) {
    std::optional<boost::system::error_code> result;
    start([&result](const boost::system::error_code& error, const auto&...) { result = error; });
    context.restart();
    while (!result) context.run_one();
    return interrupted ? boost::asio::error::operation_aborted : *result;
  }

  tl::unexpected<Error> failure(std::string_view what, const boost::system::error_code& error) const {
    if (interrupted) return fail(ErrorCode::kCancelled, "interrupted");
    return fail(ErrorCode::kUnavailable, "{}: {}", what, error.message());
  }
};

Result<Url> parse_url(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else if (rest.find("://") != std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument, "--url {}: only http:// is supported", text);
  }
  Url url;
  const size_t slash = rest.find('/');
  std::string_view authority = rest.substr(0, slash);
  if (slash != std::string_view::npos) url.path = rest.substr(slash);
  while (!url.path.empty() && url.path.back() == '/') url.path.pop_back();
  const size_t colon = authority.rfind(':');
  if (colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos) {
    url.port = authority.substr(colon + 1);
    authority = authority.substr(0, colon);
  }
  if (authority.size() > 2 && authority.front() == '[' && authority.back() == ']') {
    authority = authority.substr(1, authority.size() - 2);
  }
  url.host = authority;
  if (url.host.empty() || url.port.empty() || url.port.find_first_not_of("0123456789") != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, "--url {}: expected http://host:port", text);
  }
  return url;
}

HttpExchange::HttpExchange(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpExchange::~HttpExchange() = default;

Result<std::unique_ptr<HttpExchange>> HttpExchange::start(const Url& url, const std::string& method,
                                                          const std::string& target,
                                                          const std::vector<Header>& headers,
                                                          std::string body, OnInterrupt on_interrupt) {
  auto impl = std::make_unique<Impl>();
  if (on_interrupt == OnInterrupt::kCancel) impl->cancel_at_interrupt();
  boost::system::error_code error;
  tcp::resolver resolver(impl->context);
  const auto found = resolver.resolve(url.host, url.port, error);
  if (!error)
    error = impl->wait([&](auto done) { boost::asio::async_connect(impl->socket, found, std::move(done)); });
  if (error) return impl->failure(fmt::format("cannot reach {}:{}", url.host, url.port), error);

  http::request<http::string_body> request(http::string_to_verb(method), url.path + target, 11);
  request.set(http::field::host, url.host + ":" + url.port);
  request.set(http::field::user_agent, "foretoken-chat");
  for (const auto& [name, value] : headers) request.set(name, value);
  request.body() = std::move(body);
  request.prepare_payload();
  error = impl->wait([&](auto done) { http::async_write(impl->socket, request, std::move(done)); });
  impl->parser.body_limit(std::numeric_limits<std::uint64_t>::max());
  if (!error)
    error = impl->wait([&](auto done) {
      http::async_read_header(impl->socket, impl->buffer, impl->parser, std::move(done));
    });
  if (error) return impl->failure(fmt::format("{}:{} does not answer", url.host, url.port), error);
  return std::unique_ptr<HttpExchange>(new HttpExchange(std::move(impl)));
}

int HttpExchange::status() const {
  return static_cast<int>(impl_->parser.get().result_int());
}

Result<std::string> HttpExchange::read() {
  std::array<char, 16384> bytes;
  while (!impl_->parser.is_done()) {
    auto& body = impl_->parser.get().body();
    body.data = bytes.data();
    body.size = bytes.size();
    const auto error = impl_->wait([&](auto done) {
      http::async_read_some(impl_->socket, impl_->buffer, impl_->parser, std::move(done));
    });
    const size_t size = bytes.size() - body.size;
    if (error && error != http::error::need_buffer) return impl_->failure("the connection broke", error);
    if (size > 0) return std::string(bytes.data(), size);
  }
  return std::string();
}

Result<std::string> HttpExchange::read_all() {
  std::string all;
  for (;;) {
    auto bytes = read();
    if (!bytes || bytes->empty()) return bytes ? Result<std::string>(std::move(all)) : bytes;
    all += *bytes;
  }
}

}  // namespace ft::server
