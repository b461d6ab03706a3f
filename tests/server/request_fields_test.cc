#include "server/api/request_fields.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "server/api/chat_messages.h"
#include "server/api/dialect.h"
#include "server/api/kept_responses.h"
#include "tests/server/fake_model.h"

namespace ft::server {
namespace {

using encoding::Json;

// What a dialect makes of a body: "" or the field that it refuses.
class FieldsTest : public ::testing::Test {
 protected:
  std::string refused(const Dialect& dialect, const std::string& member) {
    const std::string content = dialect.path == "/completions" ? R"("prompt":"hi")"
                                : dialect.path == "/responses"
                                    ? R"("input":"hi")"
                                    : R"("messages":[{"role":"user","content":"hi"}])";
    const Json body = *Json::parse("{" + (member.empty() ? content : content + "," + member) + "}");
    const HttpRequest request;
    const RequestDefaults defaults;
    const auto job = dialect.parse({request, body, *model_, defaults});
    return job ? "" : job.error().param.empty() ? "?" : job.error().param;
  }

  std::shared_ptr<ServedModel> model_ = testing::fake_model(nullptr);
};

const char* const kValues[] = {"true", "-7.5", R"("?")", R"({"?":1})", R"([{"?":1}])"};

std::string member(std::string_view name, std::string_view value) {
  return "\"" + std::string(name) + "\":" + std::string(value);
}

TEST_F(FieldsTest, FieldsThatActAreRead) {
  for (const Dialect& dialect : dialects()) {
    EXPECT_EQ(refused(dialect, ""), "");
    for (const RequestField& field : dialect.fields) {
      if (field.effect != FieldEffect::kActs || field.name == "messages" || field.name == "prompt") continue;
      int named = 0;
      for (const char* value : kValues)
        named += refused(dialect, member(field.name, value)).starts_with(field.name) ? 1 : 0;
      EXPECT_GT(named, 0) << dialect.name << " takes anything for " << field.name;
    }
  }
}

TEST_F(FieldsTest, FieldsWithoutEffectAreTaken) {
  for (const Dialect& dialect : dialects()) {
    for (const RequestField& field : dialect.fields) {
      if (field.effect != FieldEffect::kNone) continue;
      for (const char* value : kValues)
        EXPECT_EQ(refused(dialect, member(field.name, value)), "") << field.name;
    }
  }
}

TEST_F(FieldsTest, RefusedFieldsAreNamedUnlessTheyAskForNothing) {
  for (const Dialect& dialect : dialects())
    for (const RequestField& field : dialect.fields) {
      if (field.effect != FieldEffect::kRefused) continue;
      for (const char* value : kValues)
        EXPECT_EQ(refused(dialect, member(field.name, value)), field.name) << value;
      for (const char* nothing : {"null", "false", "\"\"", "[]", "{}"})
        EXPECT_EQ(refused(dialect, member(field.name, nothing)), "") << field.name << nothing;
    }
}

TEST_F(FieldsTest, EachFieldIsListedOnce) {
  for (const Dialect& dialect : dialects()) {
    std::set<std::string_view> names;
    for (const RequestField& field : dialect.fields)
      EXPECT_TRUE(names.insert(field.name).second) << field.name;
  }
}

// docs/api.md holds the tables: what it should say is printed where it differs.
TEST_F(FieldsTest, TheDocumentationHoldsTheTables) {
  std::ifstream file(FT_SOURCE "/docs/api.md");
  std::stringstream text;
  text << file.rdbuf();
  for (const Dialect& dialect : dialects()) {
    const std::string section = "## " + std::string(dialect.name) + "\n\n`POST /v1" +
                                std::string(dialect.path) + "`\n\n" + fields_markdown(dialect.fields);
    EXPECT_NE(text.str().find(section), std::string::npos) << "docs/api.md is to hold\n\n" << section;
  }
  EXPECT_NE(text.str().find(fields_markdown(input_items_fields())), std::string::npos)
      << "docs/api.md is to hold\n\n"
      << fields_markdown(input_items_fields());
  const std::string messages = "The members of a message:\n\n" + fields_markdown(chat_message_fields());
  EXPECT_NE(text.str().find(messages), std::string::npos) << "docs/api.md is to hold\n\n" << messages;
}

}  // namespace
}  // namespace ft::server
