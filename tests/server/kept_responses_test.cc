// What is kept of replies of /v1/responses, and what can be asked of it.
#include "server/api/kept_responses.h"

#include <gtest/gtest.h>

#include "tests/server/responses_fixture.h"

namespace ft::server {
namespace {

using namespace testing;

TEST_F(ResponsesTest, ContinuesAReply) {
  serve("hello");
  const json first = respond({{"input", "hi"}, {"instructions", "S"}});
  const json second = respond({{"input", "again"}, {"previous_response_id", first["id"]}});
  EXPECT_EQ(prompt(),
            "<｜begin▁of▁sentence｜><｜User｜>hi<｜Assistant｜></think>hello<｜end▁of▁sentence｜>"
            "<｜User｜>again<｜Assistant｜></think>");
  EXPECT_EQ(second["previous_response_id"], first["id"]);
  respond({{"input", "and"}, {"previous_response_id", second["id"]}});
  EXPECT_NE(prompt().find("again<｜Assistant｜></think>hello<｜end▁of▁sentence｜><｜User｜>and"),
            std::string::npos);
}

TEST_F(ResponsesTest, TakesItemsByReference) {
  serve("Hm.</think>" + call_of("weather"));
  const json body = {{"input", "hi"}, {"reasoning", kThinking}, {"tools", {function("weather")}}};
  const json first = respond(body);
  json items = json::parse(R"([{"role":"user","content":"hi"}])");
  for (const json& item : first["output"]) items.push_back({{"type", "item_reference"}, {"id", item["id"]}});
  items.push_back(
      {{"type", "function_call_output"}, {"call_id", first["output"][1]["call_id"]}, {"output", "rain"}});
  json next = body;
  next["input"] = items;
  const json second = respond(next);
  EXPECT_NE(prompt().find("<think>Hm.</think>\n\n<｜DSML｜tool_calls>"), std::string::npos) << prompt();
  EXPECT_NE(prompt().find("<tool_result>rain</tool_result>"), std::string::npos);
  // What was referred to belongs to the conversation, and need not be kept for itself any more.
  EXPECT_EQ(send("DELETE", "/v1/responses/" + first["id"].get<std::string>()).status, 200);
  respond({{"input", "more"}, {"previous_response_id", second["id"]}, {"tools", body["tools"]}});
  EXPECT_NE(prompt().find("<tool_result>rain</tool_result>"), std::string::npos);
}

TEST_F(ResponsesTest, RetrievesAndDeletes) {
  serve("hello");
  for (const bool streamed : {false, true}) {
    const json made =
        streamed ? stream({{"input", "hi"}}).back().data["response"] : respond({{"input", "hi"}});
    const std::string path = "/v1/responses/" + made["id"].get<std::string>();
    EXPECT_EQ(json::parse(send("GET", path).body), made);
    EXPECT_EQ(json::parse(send("DELETE", path).body)["deleted"], true);
    for (const char* method : {"GET", "DELETE"}) {
      const HttpResponse gone = send(method, path);
      EXPECT_EQ(gone.status, 404);
      EXPECT_EQ(json::parse(gone.body)["error"]["code"], "response_not_found");
    }
    EXPECT_EQ(refuse({{"input", "x"}, {"previous_response_id", made["id"]}})["code"],
              "previous_response_not_found");
  }
  EXPECT_EQ(send("POST", "/v1/responses/resp_1").status, 405);
}

TEST_F(ResponsesTest, KeepsNothingThatIsNotToBeKept) {
  serve("hello");
  const json unkept = respond({{"input", "hi"}, {"store", false}});
  EXPECT_EQ(send("GET", "/v1/responses/" + unkept["id"].get<std::string>()).status, 404);
  Options options;
  options.response_store_mib = 0;
  serve("hello", false, options);
  EXPECT_EQ(send("GET", "/v1/responses/" + respond({{"input", "hi"}})["id"].get<std::string>()).status, 404);
}

std::vector<ResponseItem> item(size_t bytes) {
  return {{"msg_i", std::string(bytes, 'i')}};
}

TEST(ResponseStore, StaysWithinItsBound) {
  ResponseStore store(100000);
  ResponseHistory history;
  for (int i = 0; i < 50; ++i) {
    const std::string id = "resp_" + std::to_string(i);
    store.keep(id, std::string(5000, 'j'), history, item(5000), {{"msg_" + std::to_string(i), "{}"}});
    EXPECT_LE(store.bytes(), 100000U);
    EXPECT_TRUE(store.json(id)) << i;
  }
  EXPECT_FALSE(store.json("resp_0"));
  EXPECT_FALSE(store.item("msg_0"));
  EXPECT_TRUE(store.item("msg_49"));
}

// A turn that others continue is held by them, and counts.
TEST(ResponseStore, CountsTurnsThatOthersContinue) {
  ResponseStore store(100000);
  store.keep("resp_0", "{}", {}, item(60000), {});
  store.keep("resp_1", "{}", *store.history("resp_0"), item(2), {});
  EXPECT_EQ(store.history("resp_1")->size(), 2U);
  store.remove("resp_0");
  EXPECT_GT(store.bytes(), 60000U);
  store.keep("resp_2", "{}", {}, item(60000), {});
  EXPECT_FALSE(store.json("resp_1"));  // the older one
  EXPECT_LE(store.bytes(), 100000U);
  store.keep("resp_3", "{}", {}, item(200000), {});
  EXPECT_FALSE(store.json("resp_3"));
  EXPECT_EQ(store.bytes(), 0U);
}

// --- input items and cancel ------------------------------------------------------------------------------------------

class InputItemsTest : public ResponsesTest {
 protected:
  json list(const json& response, const std::string& query = "") {
    const HttpResponse listed =
        send("GET", "/v1/responses/" + response["id"].get<std::string>() + "/input_items" + query);
    EXPECT_EQ(listed.status, 200) << listed.body;
    return json::parse(listed.body);
  }
  json refuse_list(const json& response, const std::string& query) {
    const HttpResponse refused =
        send("GET", "/v1/responses/" + response["id"].get<std::string>() + "/input_items" + query);
    EXPECT_EQ(refused.status, 400) << query;
    return json::parse(refused.body)["error"];
  }
  // A conversation of ten messages, "m0" to "m9".
  json ten() {
    json items = json::array();
    for (int i = 0; i < 10; ++i)
      items.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", "m" + std::to_string(i)}});
    return respond({{"input", items}});
  }
};

std::vector<std::string> texts(const json& page) {
  std::vector<std::string> out;
  for (const json& item : page["data"]) out.push_back(item["content"][0]["text"]);
  return out;
}

using Texts = std::vector<std::string>;

TEST_F(InputItemsTest, TextIsAMessageOfTheUser) {
  serve("hello");
  json page = list(respond({{"input", "hi"}, {"instructions", "Be brief."}}));
  const std::string id = page["data"][0]["id"];
  EXPECT_TRUE(id.starts_with("msg_"));
  page["data"][0].erase("id");
  EXPECT_EQ(page["data"], json::parse(R"([{"type":"message","role":"user","status":"completed",
                                           "content":[{"type":"input_text","text":"hi"}]}])"));
  page.erase("data");
  EXPECT_EQ(page, json({{"object", "list"}, {"first_id", id}, {"last_id", id}, {"has_more", false}}));
}

TEST_F(InputItemsTest, HaveIdsOfTheirKindUnlessTheClientGaveThem) {
  serve("hello");
  const json made = respond({{"input", json::parse(R"([
    {"role":"user","content":"u"},
    {"type":"reasoning","id":"rs_mine","summary":[]},
    {"type":"message","role":"assistant","content":"A"},
    {"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},
    {"type":"function_call_output","call_id":"c1","output":"7"},
    {"type":"custom_tool_call","call_id":"c2","name":"g","input":"x"},
    {"type":"custom_tool_call_output","id":"","call_id":"c2","output":"8"}])")}});
  const json data = list(made, "?order=asc")["data"];
  const char* const prefixes[] = {"msg_", "rs_mine", "msg_", "fc_", "fco_", "ctc_", "ctco_"};
  ASSERT_EQ(data.size(), std::size(prefixes));
  for (size_t i = 0; i < data.size(); ++i)
    EXPECT_TRUE(data[i]["id"].get<std::string>().starts_with(prefixes[i])) << data[i];
  EXPECT_EQ(data[2]["content"][0], json::parse(R"({"type":"output_text","text":"A","annotations":[]})"));
  EXPECT_EQ(data[3]["arguments"], "{}");
  EXPECT_EQ(list(made, "?order=asc")["data"], data);  // the same ids again
}

TEST_F(InputItemsTest, ComeInPagesInBothOrders) {
  serve("hello");
  const json made = ten();
  EXPECT_EQ(texts(list(made)), (Texts{"m9", "m8", "m7", "m6", "m5", "m4", "m3", "m2", "m1", "m0"}));
  json page = list(made, "?limit=4");
  EXPECT_EQ(texts(page), (Texts{"m9", "m8", "m7", "m6"}));
  EXPECT_EQ(page["has_more"], true);
  EXPECT_EQ(page["first_id"], page["data"][0]["id"]);
  EXPECT_EQ(page["last_id"], page["data"][3]["id"]);
  page = list(made, "?limit=4&after=" + page["last_id"].get<std::string>());
  EXPECT_EQ(texts(page), (Texts{"m5", "m4", "m3", "m2"}));
  page = list(made, "?after=" + page["last_id"].get<std::string>() + "&limit=2");
  EXPECT_EQ(texts(page), (Texts{"m1", "m0"}));
  EXPECT_EQ(page["has_more"], false);
  page = list(made, "?after=" + page["last_id"].get<std::string>());
  EXPECT_EQ(page["data"], json::array());
  EXPECT_EQ(page["first_id"], json());
  EXPECT_EQ(page["last_id"], json());
  EXPECT_EQ(page["has_more"], false);
  page = list(made, "?order=asc&limit=3");
  EXPECT_EQ(texts(page), (Texts{"m0", "m1", "m2"}));
  EXPECT_EQ(texts(list(made, "?order=asc&limit=3&after=" + page["last_id"].get<std::string>())),
            (Texts{"m3", "m4", "m5"}));
}

TEST_F(InputItemsTest, AreTwentyWithoutALimit) {
  serve("hello");
  json items = json::array();
  for (int i = 0; i < 21; ++i) items.push_back({{"role", "user"}, {"content", "x"}});
  const json made = respond({{"input", items}});
  EXPECT_EQ(list(made)["data"].size(), 20U);
  EXPECT_EQ(list(made)["has_more"], true);
  EXPECT_EQ(list(made, "?limit=100")["data"].size(), 21U);
}

TEST_F(InputItemsTest, HaveTheTurnsThatTheReplyContinues) {
  serve("hello");
  const json first = respond({{"input", "hi"}});
  const json second = respond({{"input", "again"}, {"previous_response_id", first["id"]}});
  EXPECT_EQ(texts(list(first)), Texts{"hi"});
  const json page = list(second, "?order=asc");
  EXPECT_EQ(texts(page), (Texts{"hi", "hello", "again"}));
  EXPECT_EQ(page["data"][1]["id"], first["output"][0]["id"]);
}

// A client that sends back what it continues must still come to an end when it follows the pages.
TEST_F(InputItemsTest, AreListedOnce) {
  serve("hello");
  const json first = respond({{"input", "hi"}});
  const json second = respond({{"input", {first["output"][0], {{"role", "user"}, {"content", "again"}}}},
                               {"previous_response_id", first["id"]}});
  EXPECT_EQ(texts(list(second, "?order=asc")), (Texts{"hi", "hello", "again"}));
}

TEST_F(InputItemsTest, ShowWhatIsToBeIncluded) {
  serve("Hm.</think>Yes.");
  const json asked = {"reasoning.encrypted_content", "message.output_text.logprobs"};
  const json first = respond({{"input", "hi"}, {"reasoning", kThinking}, {"include", asked}});
  const json second = respond({{"input", "again"}, {"previous_response_id", first["id"]}});
  json data = list(second, "?order=asc")["data"];
  EXPECT_FALSE(data[1].contains("encrypted_content"));
  EXPECT_EQ(data[2]["content"][0]["logprobs"], json::array());
  data = list(
      second,
      "?order=asc&include%5B%5D=reasoning.encrypted_content&include[]=message.output_text.logprobs")["data"];
  EXPECT_EQ(data[1]["encrypted_content"], "Hm.");
  EXPECT_EQ(data[2]["content"][0]["logprobs"].size(), 4U);
}

TEST_F(InputItemsTest, RefuseParametersThatCannotAct) {
  serve("hello");
  const json made = respond({{"input", "hi"}});
  for (const char* query : {"?limit=0", "?limit=101", "?limit=", "?limit=2x", "?limit=-1", "?limit=1.5"})
    EXPECT_EQ(refuse_list(made, query)["param"], "limit") << query;
  EXPECT_EQ(refuse_list(made, "?order=up")["param"], "order");
  EXPECT_EQ(refuse_list(made, "?after=msg_none")["param"], "after");
  for (const char* method : {"POST", "DELETE"})
    EXPECT_EQ(send(method, "/v1/responses/" + made["id"].get<std::string>() + "/input_items").status, 405);
  for (const char* below : {"/input_items/x", "/items", "/cancel/now"})
    EXPECT_EQ(send("GET", "/v1/responses/" + made["id"].get<std::string>() + below).status, 404) << below;
}

TEST_F(InputItemsTest, AreGoneWithTheReply) {
  serve("hello");
  const json unkept = respond({{"input", "hi"}, {"store", false}});
  const HttpResponse gone = send("GET", "/v1/responses/" + unkept["id"].get<std::string>() + "/input_items");
  EXPECT_EQ(gone.status, 404);
  EXPECT_EQ(json::parse(gone.body)["error"]["code"], "response_not_found");
}

TEST_F(ResponsesTest, CancellingIsForTheBackground) {
  serve("hello");
  const std::string path = "/v1/responses/" + respond({{"input", "hi"}})["id"].get<std::string>();
  const HttpResponse refused = send("POST", path + "/cancel");
  EXPECT_EQ(refused.status, 400);
  const json error = json::parse(refused.body)["error"];
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_TRUE(error["message"].get<std::string>().starts_with("Cannot cancel a synchronous response"));
  EXPECT_EQ(send("GET", path).status, 200);
  const HttpResponse unknown = send("POST", "/v1/responses/resp_none/cancel", "{}");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(json::parse(unknown.body)["error"]["code"], "response_not_found");
  EXPECT_EQ(send("GET", path + "/cancel").status, 405);
}

}  // namespace
}  // namespace ft::server
