// The version of the program, as clients see it. FT_VERSION comes from the project's version in CMake.
#pragma once

#include <string_view>

namespace ft::server {

inline constexpr std::string_view kVersion = FT_VERSION;
inline constexpr std::string_view kSystemFingerprint = "foretoken-" FT_VERSION;

}  // namespace ft::server
