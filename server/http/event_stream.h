// Sends the body of a streamed response: server-sent events in HTTP chunks.
//
// A template over the stream, so that tests can put one that fails under it. Every failure comes back as an
// error code; after one, the connection is of no more use.
#pragma once

#include <fmt/format.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/experimental/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/error_code.hpp>
#include <string>
#include <string_view>
#include <tuple>

namespace ft::server {

inline constexpr std::string_view kKeepAliveComment = ": keepalive\n\n";

inline constexpr auto kUseTuple = boost::asio::experimental::as_tuple(boost::asio::use_awaitable);

template <class Stream>
class EventStream {
 public:
  using Sent = boost::asio::awaitable<boost::system::error_code>;

  // `chunked`: HTTP/1.1 framing; without it the end of the connection ends the body.
  EventStream(Stream& stream, bool chunked) : stream_(stream), chunked_(chunked) {}

  // Status line and headers, ready to send.
  Sent open(std::string head) {
    auto [error, size] = co_await boost::asio::async_write(stream_, boost::asio::buffer(head), kUseTuple);
    co_return error;
  }

  // Whole events or comments; not empty, since an empty chunk is the end.
  Sent send(std::string_view events) {
    if (!chunked_) {
      auto [error, size] = co_await boost::asio::async_write(
          stream_, boost::asio::buffer(events.data(), events.size()), kUseTuple);
      co_return error;
    }
    const std::string size_line = fmt::format("{:x}\r\n", events.size());
    const std::array<boost::asio::const_buffer, 3> buffers{boost::asio::buffer(size_line),
                                                           boost::asio::buffer(events.data(), events.size()),
                                                           boost::asio::buffer("\r\n", 2)};
    auto [error, size] = co_await boost::asio::async_write(stream_, buffers, kUseTuple);
    co_return error;
  }

  // The end of the body.
  Sent close() {
    if (!chunked_) co_return boost::system::error_code();
    auto [error, size] =
        co_await boost::asio::async_write(stream_, boost::asio::buffer("0\r\n\r\n", 5), kUseTuple);
    co_return error;
  }

 private:
  Stream& stream_;
  bool chunked_;
};

}  // namespace ft::server
