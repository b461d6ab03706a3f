// The chat page that the program carries: page/dist, compiled in by page/embed.cmake.
#pragma once

#include <string_view>

namespace ft::server {

struct EmbeddedPage {
  std::string_view gzip;    // one HTML file with its scripts, styles and fonts
  std::string_view policy;  // its Content-Security-Policy, which names the hashes of its scripts and styles
  std::string_view etag;    // of the bytes, without quotes
};

extern const EmbeddedPage kEmbeddedPage;

}  // namespace ft::server
