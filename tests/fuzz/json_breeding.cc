#include "tests/fuzz/json_breeding.h"

#include <random>
#include <utility>

#include "core/check.h"
#include "encoding/ordered_json.h"

namespace ft::fuzz {
namespace {

using encoding::Json;

const char* const kValues[] = {"null",
                               "true",
                               "false",
                               "0",
                               "-1",
                               "1.0",
                               "2",
                               "1e300",
                               "-0.0",
                               "9007199254740993",
                               "NaN",
                               "[]",
                               "{}",
                               "\"\"",
                               "\"x\"",
                               "[1]",
                               "[[]]",
                               "{\"type\": \"text\"}",
                               "\"<\xEF\xBD\x9CUser\xEF\xBD\x9C>\"",
                               "\"\\u0000\"",
                               "\"auto\"",
                               "\"none\"",
                               "[\"a\", \"b\"]",
                               "{\"\": null}",
                               "99999999999999999999999",
                               "0.5"};

void collect(Json& value, std::vector<Json*>& all) {
  all.push_back(&value);
  if (value.is_array())
    for (Json& element : value.as_array()) collect(element, all);
  if (value.is_object())
    for (auto& [key, member] : value.as_object()) collect(member, all);
}

Json& any_of(Json& value, std::mt19937& random) {
  std::vector<Json*> all;
  collect(value, all);
  return *all[random() % all.size()];
}

// A key of some object, "" where there is none.
std::string any_key(Json& value, std::mt19937& random) {
  const Json& place = any_of(value, random);
  if (!place.is_object() || place.size() == 0) return {};
  return place.as_object()[random() % place.size()].first;
}

void edit(Json& value, std::vector<Json>& seeds, std::mt19937& random) {
  Json& place = any_of(value, random);
  Json& other = seeds[random() % seeds.size()];
  const auto choice = random() % 6;
  if (choice == 0) {
    place = any_of(other, random);
  } else if (choice == 1 && place.is_object() && place.size() > 0) {
    auto& members = place.as_object();
    members.erase(members.begin() + random() % members.size());
  } else if (choice == 2 && place.is_array() && place.size() > 0) {
    place.push_back(Json(place.as_array()[random() % place.size()]));
  } else if (choice == 3 && place.is_object()) {
    place.set(any_key(other, random), Json(any_of(other, random)));
  } else if (choice == 4 && place.is_string()) {
    place = place.as_string() + any_of(other, random).dump();
  } else {
    place = *Json::parse(kValues[random() % std::size(kValues)]);
  }
}

}  // namespace

void breed_json(Target target, const std::vector<std::string>& seeds, int rounds) {
  std::vector<Json> parsed;
  for (const std::string& seed : seeds) {
    auto json = Json::parse(seed);
    FT_CHECK(json.has_value(), seed);
    parsed.push_back(std::move(*json));
  }
  std::mt19937 random(7);
  for (int round = 0; round < rounds; ++round) {
    Json json = parsed[random() % parsed.size()];
    for (auto edits = 1 + random() % 4; edits > 0; --edits) edit(json, parsed, random);
    const std::string text = json.dump();
    target({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
}

}  // namespace ft::fuzz
