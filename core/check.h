// FT_CHECK: programmer errors end the program with the condition, the place and the values.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

namespace ft::detail {

template <class... Values>
[[noreturn, gnu::cold, gnu::noinline]] void check_failed(const char* file, int line, const char* condition,
                                                         const Values&... values) {
  std::fprintf(stderr, "%s:%d: FT_CHECK(%s) failed", file, line, condition);
  ((std::fputs(" ", stderr), std::fputs(fmt::format("[{}]", values).c_str(), stderr)), ...);
  std::fputs("\n", stderr);
  std::abort();
}

}  // namespace ft::detail

// Always on. Extra arguments are values to print.
#define FT_CHECK(condition, ...)                                                             \
  do {                                                                                       \
    if (!(condition)) [[unlikely]]                                                           \
      ::ft::detail::check_failed(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__); \
  } while (false)
