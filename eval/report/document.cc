#include "eval/report/document.h"

#include <fmt/format.h>

namespace ft::eval {

TableCell words(std::string text) {
  return {std::move(text), std::nullopt};
}

TableCell number(const char* format, double value) {
  return {fmt::format(fmt::runtime(format), value), value};
}

}  // namespace ft::eval
