#include "server/chat/terminal_text.h"

namespace ft::server {

std::string terminal_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool shown = byte == '\n' || byte == '\t' || (byte >= 0x20 && byte != 0x7F);
    // U+0080 to U+009F, which some terminals take for the beginning of a sequence.
    const bool c1 = byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (c1) ++i;
    if (shown && !c1) out += text[i];
  }
  return out;
}

}  // namespace ft::server
