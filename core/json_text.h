// Strict reading of the JSON files of a checkpoint: an object, no duplicate keys, errors that name the place.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "core/error.h"

namespace ft {

// Parses `text`, which must be one JSON object of at most 64 levels whose objects have no key twice: JSON leaves
// the meaning of that open, and a file that says two things about a tensor is wrong. `path` is for the message.
Result<nlohmann::json> parse_json_object(std::string_view text, const std::string& path);

// A value as it stands in the file, cut to a length that fits a message.
std::string shown(const nlohmann::json& value);

}  // namespace ft
