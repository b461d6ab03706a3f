// A drafter by its name, for tests, which know which ones there are.
#pragma once

#include <string_view>

#include "core/check.h"
#include "draft/drafter_registry.h"

namespace ft::support {

// Ends the test program if there is none of this name.
inline draft::DrafterChoice drafter(std::string_view name) {
  const Result<draft::DrafterChoice> choice = draft::parse_drafter(name);
  FT_CHECK(choice.has_value(), choice.error().message);
  return *choice;
}

}  // namespace ft::support
