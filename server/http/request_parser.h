// One HTTP/1.x request from the bytes of a connection, as they come (RFC 9112). Knows no socket.
//
// Every byte counts against a limit: the head, and each chunk line and the trailer section, against
// `head_bytes`, the body against `body_bytes` and, beyond its first kUncountedBytes, the budget that all
// connections share. Framing that another server might read differently is refused: a Transfer-Encoding other
// than one `chunked`, folded lines, no Host or several. Trailers are dropped, they never become headers.
//
// Beast parses the head. The body is read here, because Beast's limits leave out chunk lines and trailers.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "server/http/api_error.h"
#include "server/http/body_budget.h"
#include "server/http/chunk_decoder.h"
#include "server/http/http_message.h"

namespace ft::server {

// Small bodies always have room: the number of connections bounds them.
inline constexpr uint64_t kUncountedBytes = 64 << 10;

struct RequestLimits {
  size_t head_bytes = 16 << 10;
  uint64_t body_bytes = 8 << 20;
};

class RequestParser : private boost::beast::http::basic_parser<true> {
 public:
  // `budget` must outlive the parser and the request it yields.
  RequestParser(const RequestLimits& limits, BodyBudget& budget);

  // Takes bytes from the front of `input`, which begins with those that the last call left, and says how
  // many: up to the end of the head in the first phase, up to the end of the request in the second. What is
  // left needs more bytes behind it, or belongs to the next request.
  size_t feed(std::string_view input);

  bool head_done() const { return head_done_; }
  bool done() const { return head_done_ && body_done_; }
  // From the end of the head on. What is fed is read and dropped instead of kept.
  void drop_body() { keep_body_ = false; }
  // Bytes of the body that the head announces; none for chunks.
  std::optional<uint64_t> announced() const;
  bool expects_continue() const { return expects_continue_; }
  // Why the request cannot be read; nothing is to be fed after that.
  const std::optional<ApiError>& fault() const { return refusal_; }

  // Method, target, headers and version once the head is done, the body once all is done.
  HttpRequest& request() { return request_; }

 private:
  using Field = boost::beast::http::field;
  using View = boost::beast::string_view;
  using Code = boost::beast::error_code;

  void on_request_impl(boost::beast::http::verb verb, View method, View target, int version,
                       Code& error) override;
  void on_response_impl(int, View, int, Code&) override {}
  void on_field_impl(Field field, View name, View value, Code& error) override;
  void on_header_impl(Code&) override {}
  // Beast is told that there is no body.
  void on_body_init_impl(const boost::optional<std::uint64_t>&, Code&) override {}
  std::size_t on_body_impl(View, Code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, View, Code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, View, Code&) override { return 0; }
  void on_finish_impl(Code&) override {}

  size_t feed_head(std::string_view input);
  size_t feed_body(std::string_view input);
  void refuse_with(ApiError error);
  void end_head();
  bool take_absolute_target();
  bool add_body(std::string_view bytes);
  ApiError body_too_large() const;

  const RequestLimits limits_;
  HttpRequest request_;
  std::optional<ApiError> refusal_;
  size_t head_taken_ = 0;  // bytes of the head so far
  int hosts_ = 0;
  int transfer_encodings_ = 0;
  bool chunked_only_ = true;  // every Transfer-Encoding was exactly "chunked"
  bool expects_continue_ = false;
  bool folded_ = false;
  bool head_done_ = false;
  bool body_done_ = false;
  bool keep_body_ = true;
  std::unique_ptr<ChunkDecoder> chunks_;  // of a chunked body
  uint64_t body_left_ = 0;                // of one with a Content-Length
  uint64_t body_taken_ = 0;
};

}  // namespace ft::server
