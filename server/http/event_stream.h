// Sends the body of a streamed response: server-sent events in HTTP chunks.
//
// A template over the stream, so that tests can put one that fails under it. Every failure comes back as an
// error code; after one, the connection is of no more use.
#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/error_code.hpp>
#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace ft::server {

inline constexpr std::string_view kKeepAliveComment = ": keepalive\n\n";

inline constexpr auto kUseTuple = boost::asio::experimental::as_tuple(boost::asio::use_awaitable);

// Stream: as of async_write, and write_some(buffers, error), which does not block.
template <class Stream>
class EventStream {
 public:
  using Error = boost::system::error_code;
  using Sent = boost::asio::awaitable<Error>;

  // `chunked`: HTTP/1.1 framing; without it the end of the connection ends the body.
  EventStream(Stream& stream, bool chunked) : stream_(stream), chunked_(chunked), frame_(kHeadBytes, ' ') {}

  // Status line and headers, ready to send.
  Sent open(std::string head) {
    auto [error, size] = co_await boost::asio::async_write(stream_, boost::asio::buffer(head), kUseTuple);
    co_return error;
  }

  // Where whole events or comments are to be appended, and whether there are none yet.
  std::string& events() { return frame_; }
  bool empty() const { return frame_.size() == kHeadBytes; }

  // Sends the events with one system call and without waiting, with `last` also the end of the body. False when the
  // connection did not take all of it: send_rest() has to follow.
  bool send(bool last, Error& error) {
    close_frame(last);
    error.clear();
    if (begin_ == frame_.size()) return sent(0, error);
    const size_t size = stream_.write_some(rest(), error);
    if (error == boost::asio::error::would_block || error == boost::asio::error::try_again) error.clear();
    return sent(size, error);
  }

  // Waits until the connection takes what send() left.
  Sent send_rest() {
    auto [error, size] = co_await boost::asio::async_write(stream_, rest(), kUseTuple);
    sent(size, error);
    co_return error;
  }

 private:
  // Room in front of the events for the size of their chunk, so that a frame is one piece of memory.
  static constexpr size_t kHeadBytes = 2 * sizeof(size_t) + 2;

  boost::asio::const_buffer rest() const {
    return boost::asio::buffer(frame_.data() + begin_, frame_.size() - begin_);
  }

  // An empty chunk would be the end.
  void close_frame(bool last) {
    begin_ = kHeadBytes;
    if (!chunked_) return;
    if (!empty()) {
      std::array<char, kHeadBytes> digits{};
      char* const end =
          std::to_chars(digits.data(), digits.data() + digits.size(), frame_.size() - kHeadBytes, 16).ptr;
      const auto count = static_cast<size_t>(end - digits.data());
      begin_ -= count + 2;
      frame_.replace(begin_, count, digits.data(), count);
      frame_.replace(begin_ + count, 2, "\r\n");
      frame_ += "\r\n";
    }
    if (last) frame_ += "0\r\n\r\n";
  }

  // Whether the frame is done with.
  bool sent(size_t size, const Error& error) {
    begin_ += size;
    if (!error && begin_ < frame_.size()) return false;
    frame_.resize(kHeadBytes);
    return true;
  }

  Stream& stream_;
  const bool chunked_;
  std::string frame_;
  size_t begin_ = kHeadBytes;  // of what is to be sent
};

}  // namespace ft::server
