#include "server/http/content_coding.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <string_view>

namespace ft::server {
namespace {

std::string coding_of(const HttpRequest& request) {
  std::string coding(request.header("content-encoding"));
  std::transform(coding.begin(), coding.end(), coding.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return coding == "identity" ? "" : coding;
}

// zlib's state, freed with it.
class Inflater {
 public:
  // gzip and zlib headers are told apart by what they are.
  Inflater() : ready_(inflateInit2(&stream_, MAX_WBITS + 32) == Z_OK) {}
  ~Inflater() {
    if (ready_) inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  bool ready() const { return ready_; }
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
  bool ready_;
};

ApiError malformed() {
  return refusal(400, "the body is not what its Content-Encoding says", "malformed_body");
}

ApiResult<std::string> inflate_all(HttpRequest& request, uint64_t bytes_max) {
  Inflater inflater;
  if (!inflater.ready())
    return refuse(refusal(503, "there is no memory to decode the body", "out_of_memory"));
  z_stream& stream = inflater.stream();
  stream.next_in = reinterpret_cast<Bytef*>(request.body.data());
  stream.avail_in = static_cast<uInt>(request.body.size());
  std::string text;
  std::array<char, 64 << 10> piece{};
  for (;;) {
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    const int result = inflate(&stream, Z_NO_FLUSH);
    const size_t size = piece.size() - stream.avail_out;
    if (text.size() + size > bytes_max)
      return refuse(
          refusal(413, fmt::format("the body holds more than {} bytes", bytes_max), "body_too_large"));
    if (!request.body_lease.grow(static_cast<int64_t>(size))) {
      ApiError full = refusal(503, "the request bodies of all connections together have reached their limit",
                              "too_many_bodies");
      full.retry_after_seconds = 1;
      return refuse(std::move(full));
    }
    text.append(piece.data(), size);
    if (result == Z_STREAM_END) {
      if (stream.avail_in == 0) return text;
      if (inflateReset(&stream) != Z_OK) return refuse(malformed());  // one member follows another
    } else if (result != Z_OK || (size == 0 && stream.avail_in == 0)) {
      return refuse(malformed());
    }
  }
}

}  // namespace

bool is_coded(const HttpRequest& request) {
  return !coding_of(request).empty();
}

ApiResult<void> decode_body(HttpRequest& request, uint64_t bytes_max) {
  const std::string coding = coding_of(request);
  if (coding.empty()) return {};
  if (coding != "gzip" && coding != "x-gzip" && coding != "deflate")
    return refuse(refusal(
        415,
        fmt::format("Content-Encoding is '{}': expected gzip, deflate or identity", coding.substr(0, 80)),
        "unsupported_encoding"));
  auto text = inflate_all(request, bytes_max);
  if (!text) return refuse(text.error());
  request.body = std::move(*text);
  return {};
}

}  // namespace ft::server
