#include "server/http/request_parser.h"

#include <algorithm>
#include <boost/beast/http/error.hpp>
#include <cctype>
#include <string>
#include <utility>

namespace ft::server {

namespace http = boost::beast::http;

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// Whether a line goes on in the next one (obs-fold), which servers read in two ways.
bool has_folded_line(std::string_view head) {
  return head.find("\r\n ") != std::string_view::npos || head.find("\r\n\t") != std::string_view::npos;
}

// Bytes of "http://" or "https://" at the beginning, in any case; 0 if neither is there.
size_t scheme_length(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"})
    if (lower(target.substr(0, scheme.size())) == scheme) return scheme.size();
  return 0;
}

}  // namespace

RequestParser::RequestParser(const RequestLimits& limits, BodyBudget& budget) : limits_(limits) {
  request_.body_lease = BodyLease(budget);
  header_limit(static_cast<std::uint32_t>(limits.head_bytes));
  skip(true);
}

size_t RequestParser::feed(std::string_view input) {
  return head_done_ ? feed_body(input) : feed_head(input);
}

size_t RequestParser::feed_head(std::string_view input) {
  size_t taken = 0;
  // Empty lines before a request are left over from the last one (RFC 9112, 2.2).
  while (!got_some() && input.substr(taken).starts_with("\r\n") && head_taken_ < limits_.head_bytes) {
    taken += 2;
    head_taken_ += 2;
  }
  if (!got_some() && input.substr(taken) == "\r") return taken;
  // Beast takes the first line and the headers each as a whole.
  const std::string_view rest = input.substr(taken, limits_.head_bytes - head_taken_);
  Code error;
  const size_t used = put({rest.data(), rest.size()}, error);
  folded_ = folded_ || has_folded_line(rest.substr(0, used));
  taken += used;
  head_taken_ += used;
  if (!error) {
    end_head();
  } else if (error == http::error::need_more && head_taken_ + rest.size() - used < limits_.head_bytes) {
    return taken;
  } else if (error == http::error::need_more || error == http::error::header_limit) {
    refuse_with(
        refusal(431, fmt::format("the head is larger than {} bytes", limits_.head_bytes), "head_too_large"));
  } else {
    refuse_with(refusal(400, "malformed HTTP: " + error.message(), "malformed_http"));
  }
  return taken;
}

// Sees that the framing has one meaning, and begins the body.
void RequestParser::end_head() {
  head_done_ = true;
  request_.keep_alive = keep_alive();
  if (transfer_encodings_ > 0 && !chunked_only_)
    return refuse_with(refusal(501, "the only Transfer-Encoding that is understood here is 'chunked'",
                               "unknown_transfer_encoding"));
  if (transfer_encodings_ > 1 || (transfer_encodings_ == 1 && !request_.http11))
    return refuse_with(refusal(400, "malformed HTTP: Transfer-Encoding is repeated, or is sent by HTTP/1.0",
                               "malformed_http"));
  if (folded_)
    return refuse_with(refusal(400, "malformed HTTP: a header goes on in the next line", "malformed_http"));
  if (hosts_ > 1 || (hosts_ == 0 && request_.http11))
    return refuse_with(
        refusal(400, "malformed HTTP: a request must have exactly one Host header", "malformed_http"));
  if (!take_absolute_target())
    return refuse_with(refusal(400, "malformed HTTP: the target names no host", "malformed_http"));
  if (chunked()) {
    // A body of one-byte chunks is six times its size.
    chunks_ = std::make_unique<ChunkDecoder>(limits_.head_bytes, limits_.head_bytes + 8 * limits_.body_bytes,
                                             [this](std::string_view bytes) { return add_body(bytes); });
    return;
  }
  body_left_ = content_length().value_or(0);
  body_done_ = body_left_ == 0;
  if (body_left_ > limits_.body_bytes) refuse_with(body_too_large());
}

// A target with a scheme and a host, as it is sent to proxies, counts for its path; its host goes before the Host
// header's (RFC 9112, 3.2.2). False when it has none.
bool RequestParser::take_absolute_target() {
  std::string& target = request_.target;
  const size_t begin = scheme_length(target);
  if (begin == 0) return true;
  const size_t end = std::min(target.find_first_of("/?#", begin), target.size());
  const std::string host = target.substr(begin, end - begin);
  if (host.empty()) return false;
  for (auto& [name, value] : request_.headers)
    if (name == "host") value = host;
  target.erase(0, end);
  if (!target.starts_with('/')) target.insert(0, "/");
  return true;
}

size_t RequestParser::feed_body(std::string_view input) {
  if (!chunks_) {
    const std::string_view bytes =
        input.substr(0, static_cast<size_t>(std::min<uint64_t>(body_left_, input.size())));
    if (!add_body(bytes)) return 0;
    body_left_ -= bytes.size();
    body_done_ = body_left_ == 0;
    return bytes.size();
  }
  const size_t taken = chunks_->feed(input);
  body_done_ = chunks_->done();
  switch (chunks_->fault()) {
    case ChunkDecoder::Fault::kNone:
    case ChunkDecoder::Fault::kRejected:  // add_body said why
      break;
    case ChunkDecoder::Fault::kMalformed:
      refuse_with(refusal(400, "malformed HTTP: bad chunk", "malformed_http"));
      break;
    case ChunkDecoder::Fault::kLine:
    case ChunkDecoder::Fault::kFraming:
      refuse_with(refusal(431,
                          fmt::format("a chunk line or the trailer section is larger than {} bytes, or all "
                                      "chunk lines together are much larger than a body may be",
                                      limits_.head_bytes),
                          "head_too_large"));
      break;
  }
  return taken;
}

// False, with a refusal, when there is no room for them.
bool RequestParser::add_body(std::string_view bytes) {
  body_taken_ += bytes.size();
  if (body_taken_ > limits_.body_bytes) {
    refuse_with(body_too_large());
    return false;
  }
  if (!keep_body_) return true;
  const uint64_t counted =
      body_taken_ - std::min(body_taken_, std::max(kUncountedBytes, body_taken_ - bytes.size()));
  if (!request_.body_lease.grow(static_cast<int64_t>(counted))) {
    ApiError full = refusal(503, "the request bodies of all connections together have reached their limit",
                            "too_many_bodies");
    full.retry_after_seconds = 1;
    refuse_with(std::move(full));
    return false;
  }
  request_.body.append(bytes);
  return true;
}

ApiError RequestParser::body_too_large() const {
  return refusal(413, fmt::format("the body is larger than {} bytes", limits_.body_bytes), "body_too_large");
}

std::optional<uint64_t> RequestParser::announced() const {
  if (chunks_) return std::nullopt;
  return body_left_ + body_taken_;
}

void RequestParser::refuse_with(ApiError error) {
  if (!refusal_) refusal_ = std::move(error);
}

void RequestParser::on_request_impl(http::verb, View method, View target, int version, Code&) {
  request_.method = std::string(method);
  request_.target = std::string(target);
  request_.http11 = version >= 11;
}

void RequestParser::on_field_impl(Field field, View name, View value, Code&) {
  request_.headers.emplace_back(lower(std::string_view(name.data(), name.size())),
                                std::string(value.data(), value.size()));
  const std::string& text = request_.headers.back().second;
  if (field == Field::host) ++hosts_;
  if (field == Field::expect) expects_continue_ = lower(text) == "100-continue";
  if (field == Field::transfer_encoding) {
    ++transfer_encodings_;
    chunked_only_ = chunked_only_ && lower(text) == "chunked";
  }
}

}  // namespace ft::server
