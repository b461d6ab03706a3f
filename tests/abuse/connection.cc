#include "tests/abuse/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/experimental/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdlib>

namespace ft::abuse {
namespace {

using net::ip::tcp;
constexpr auto kTuple = net::experimental::as_tuple(net::use_awaitable);
constexpr size_t kSendBytes = 256 << 10;

std::string common_head(const Server& server, std::string_view method, std::string_view path) {
  std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: localhost:{}\r\n", method, path, server.port);
  if (!server.key.empty()) head += fmt::format("Authorization: Bearer {}\r\n", server.key);
  return head;
}

}  // namespace

std::string post_head(const Server& server, std::string_view path, size_t length, std::string_view more) {
  return common_head(server, "POST", path) +
         fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n{}\r\n", length, more);
}
std::string post(const Server& server, std::string_view path, std::string_view body, std::string_view more) {
  return post_head(server, path, body.size(), more).append(body);
}
std::string get(const Server& server, std::string_view path) {
  return common_head(server, "GET", path) + "\r\n";
}

struct Connection::State {
  explicit State(const net::any_io_executor& executor) : socket(executor), limit(executor) {}
  tcp::socket socket;
  net::steady_timer limit;
  int64_t operation = 0;  // a limit that fires late must not end the next operation
};

Connection::Connection(const net::any_io_executor& executor, uint16_t port)
    : state_(std::make_shared<State>(executor)), port_(port) {}
Connection::~Connection() {
  close();
}

void Connection::begin_limit(Time limit) {
  state_->limit.expires_after(limit);
  state_->limit.async_wait([state = state_, operation = ++state_->operation](auto error) {
    boost::system::error_code ignored;
    if (!error && state->operation == operation) state->socket.cancel(ignored);
  });
}
void Connection::end_limit() {
  ++state_->operation;
  state_->limit.cancel();
}

net::awaitable<bool> Connection::open(int receive_buffer) {
  buffer_.clear();
  boost::system::error_code error;
  state_->socket.open(tcp::v4(), error);
  if (error) co_return false;
  if (receive_buffer > 0)
    state_->socket.set_option(net::socket_base::receive_buffer_size(receive_buffer), error);
  begin_limit(std::chrono::seconds(30));
  const tcp::endpoint server(net::ip::address_v4::loopback(), port_);
  auto [failed] = co_await state_->socket.async_connect(server, kTuple);
  end_limit();
  if (failed) close();
  co_return !failed;
}

bool Connection::is_open() const {
  return state_->socket.is_open();
}

net::awaitable<bool> Connection::send(std::string_view bytes, Time limit) {
  while (!bytes.empty()) {
    begin_limit(limit);
    auto [error, size] = co_await state_->socket.async_write_some(
        net::buffer(bytes.data(), std::min(bytes.size(), kSendBytes)), kTuple);
    end_limit();
    if (error) co_return false;
    bytes.remove_prefix(size);
  }
  co_return true;
}

net::awaitable<bool> Connection::read_more(Time limit, size_t most) {
  const size_t before = buffer_.size();
  buffer_.resize(before + most);
  begin_limit(limit);
  auto [error, size] =
      co_await state_->socket.async_read_some(net::buffer(buffer_.data() + before, most), kTuple);
  end_limit();
  buffer_.resize(before + (error ? 0 : size));
  co_return !error && size > 0;
}

net::awaitable<size_t> Connection::read_until(std::string_view text, Time limit) {
  for (;;) {
    const size_t at = buffer_.find(text);
    if (at != std::string::npos) co_return at;
    const bool more = co_await read_more(limit);
    if (!more) co_return at;
  }
}

net::awaitable<void> Connection::read_to_end(Time silence, Time limit) {
  const Clock::time_point end = Clock::now() + limit;
  for (bool more = true; more && Clock::now() < end;) {
    buffer_.clear();
    more = co_await read_more(silence);
  }
}

net::awaitable<ResponseHead> Connection::read_head(Time limit) {
  ResponseHead head;
  const size_t end = co_await read_until("\r\n\r\n", limit);
  if (end == std::string::npos) co_return head;
  const std::string text = buffer_.substr(0, end + 4);
  buffer_.erase(0, text.size());
  if (text.starts_with("HTTP/1.1 ")) head.status = std::atoi(text.c_str() + 9);
  head.chunked = text.find("\r\nTransfer-Encoding: chunked\r\n") != std::string::npos;
  head.closes = text.find("\r\nConnection: close\r\n") != std::string::npos;
  constexpr std::string_view kLength = "\r\nContent-Length: ";
  if (const size_t at = text.find(kLength); at != std::string::npos)
    head.length = std::strtoull(text.c_str() + at + kLength.size(), nullptr, 10);
  co_return head;
}

net::awaitable<std::optional<std::string>> Connection::read_part(ResponseHead& head, Time limit) {
  if (!head.chunked) {
    const uint64_t left = head.length.value_or(0);
    if (left == 0) co_return "";
    if (buffer_.empty()) co_await read_more(limit);
    if (buffer_.empty()) co_return std::nullopt;
    std::string part = buffer_.substr(0, left);
    buffer_.erase(0, part.size());
    head.length = left - part.size();
    co_return part;
  }
  const size_t line = co_await read_until("\r\n", limit);
  if (line == std::string::npos) co_return std::nullopt;
  const size_t size = std::strtoul(buffer_.c_str(), nullptr, 16);
  while (buffer_.size() < line + 2 + size + 2) {
    const bool more = co_await read_more(limit);
    if (!more) co_return std::nullopt;
  }
  std::string part = buffer_.substr(line + 2, size);
  buffer_.erase(0, line + 2 + size + 2);
  co_return part;
}

net::awaitable<int> Connection::read_response(Time limit) {
  ResponseHead head = co_await read_head(limit);
  if (head.status == 0) co_return 0;
  for (;;) {
    const auto part = co_await read_part(head, limit);
    if (!part) co_return 0;
    if (part->empty()) co_return head.status;
  }
}

net::awaitable<void> Connection::pause(Time time) {
  net::steady_timer timer(state_->socket.get_executor(), time);
  co_await timer.async_wait(kTuple);
}

void Connection::close() {
  boost::system::error_code ignored;
  state_->limit.cancel();
  state_->socket.close(ignored);
}
void Connection::reset() {
  boost::system::error_code ignored;
  state_->socket.set_option(net::socket_base::linger(true, 0), ignored);
  close();
}
void Connection::half_close() {
  boost::system::error_code ignored;
  state_->socket.shutdown(net::socket_base::shutdown_send, ignored);
}

}  // namespace ft::abuse
