// SPDX-License-Identifier: Apache-2.0
#include "gateway/open_api.h"

#include "base/check.h"
#include "gateway/open_api_schemas.h"

namespace redoubt::gateway {
namespace {

const char* kJson = "application/json";

Json reference(const std::string& schema) { return {{"$ref", "#/components/schemas/" + schema}}; }

// What the parser and the limits decide, put where the schemas leave a place for it.
void put_limits(Json& schemas, const openai::RequestLimits& limits, const Served& served) {
  for (auto* name : {"ChatRequest", "CompletionRequest"}) {
    auto& properties = schemas[name]["properties"];
    for (auto* tokens : {"max_tokens", "max_completion_tokens"})
      if (properties.contains(tokens)) properties[tokens]["maximum"] = limits.answer_tokens_max;
    if (!served.models.empty()) properties["model"]["enum"] = served.models;
    properties["top_k"]["maximum"] = limits.top_k_max;
    properties["logit_bias"]["maxProperties"] = limits.logit_bias_max;
  }
  auto& embedding = schemas["EmbeddingRequest"]["properties"];
  if (!served.models.empty()) embedding["model"]["enum"] = served.models;
  embedding["input"]["anyOf"][2]["maxItems"] = limits.embedding_inputs_max;
  if (served.embedding_length > 0) embedding["dimensions"]["enum"] = {served.embedding_length, nullptr};
  schemas["Stop"]["anyOf"][0]["maxLength"] = schemas["Stop"]["anyOf"][1]["items"]["maxLength"] = limits.stop_characters_max;
  schemas["Stop"]["anyOf"][1]["maxItems"] = limits.stop_max;
  schemas["ChatRequest"]["properties"]["messages"]["maxItems"] = limits.messages_max;
  schemas["ChatRequest"]["properties"]["top_logprobs"]["maximum"] = limits.top_logprobs_max;
  schemas["CompletionRequest"]["properties"]["logprobs"]["maximum"] = limits.completion_logprobs_max;
  schemas["InputsRequest"]["properties"]["parameters"]["properties"]["max_new_tokens"]["maximum"] = limits.answer_tokens_max;
  schemas["InputsRequest"]["properties"]["parameters"]["properties"]["top_k"]["maximum"] = limits.top_k_max;
}

// Where the engine hands tools to the model's template.
void put_tools(Json& schemas, const openai::RequestLimits& limits) {
  auto& chat = schemas["ChatRequest"]["properties"];
  chat["tools"] = {{"type", {"array", "null"}}, {"maxItems", limits.tools.tools_max}, {"items", reference("Tool")},
                   {"description", "With tool_choice 'required' or a function's name (which need a tool, and parameters within docs/generation.md) the answer is a call."}};
  chat["messages"]["items"] = {{"anyOf", {reference("Message"), reference("AssistantCallMessage"), reference("ToolMessage")}}};
  for (auto* message : {"Message", "AssistantCallMessage", "ToolMessage"}) schemas[message]["properties"]["name"] = {{"type", {"string", "null"}}, {"pattern", R"(^[^\u0000-\u0020\u007f-\u00a0<>|/\\]{0,64}$)"}};
  // Logprobs do not go with tools.
  schemas["ChatRequest"]["allOf"].push_back({{"if", {{"properties", {{"logprobs", {{"const", true}}}}}, {"required", {"logprobs"}}}},
                                             {"then", {{"properties", {{"tools", reference("Nothing")}}}}}});
}

// Where the path names the model the body need not.
void put_endpoint_requests(Json& schemas) {
  for (auto* name : {"ChatRequest", "CompletionRequest"}) {
    auto request = schemas[name];
    request["required"].erase(0);
    auto& model = request["properties"]["model"];
    model["type"] = {"string", "null"};
    if (model.contains("enum")) model["enum"].push_back(nullptr);
    schemas[std::string("Endpoint") + name] = std::move(request);
  }
}

Json error_answer(const char* description, bool may_wait) {
  Json answer = {{"description", description}, {"content", {{kJson, {{"schema", reference("Error")}}}}}};
  if (may_wait) answer["headers"]["Retry-After"] = {{"description", "seconds"}, {"schema", {{"type", "integer"}, {"minimum", 1}}}};
  return answer;
}

Json errors_of(const RouteInfo& route) {
  Json answers = {{"400", error_answer("malformed, or a value that can't be honoured; error.param names it", false)},
                  {"404", error_answer("no such path or model", false)},
                  {"405", error_answer("another method", false)},
                  {"408", error_answer("the request did not come in time", false)},
                  {"414", error_answer("the target is too long", false)},
                  {"431", error_answer("the head is too large", false)}};
  answers["429"] = error_answer("a limit is reached", true);
  answers["503"] = error_answer("no worker is ready, all are busy, or the keys of tokens are not here yet", true);
  if (route.scope) {
    answers["401"] = error_answer("no valid key", false);
    answers["403"] = error_answer("the key may not do this", false);
  } else {
    // Whoever asks without a key is told nothing but the status.
    answers["413"] = {{"description", "a body, which this path does not take"}};
    answers["429"].erase("content");
    answers["503"] = {{"description", "not ready"}};
  }
  if (route.answer == "Health") answers["503"]["content"][kJson]["schema"] = reference("Health");
  if (route.body.empty()) return answers;
  answers["413"] = error_answer("the body is too large", false);
  answers["415"] = error_answer("the body is not JSON", false);
  return answers;
}

Json content_of(const std::string& answer) {
  if (answer.find('/') != answer.npos) return {{answer, {{"schema", {{"type", "string"}}}}}};
  Json content = {{kJson, {{"schema", reference(answer)}}}};
  if (answer == "Chat" || answer == "Completion" || answer == "Invocation") content["text/event-stream"] = Json::object();
  return content;
}

Json operation_of(const RouteInfo& route, const Served& served) {
  Json operation = {{"summary", route.summary}, {"responses", errors_of(route)}};
  operation["responses"]["200"] = {{"description", route.summary}};
  if (!route.answer.empty()) operation["responses"]["200"]["content"] = content_of(route.answer);
  if (!route.body.empty()) operation["requestBody"] = {{"required", true}, {"content", {{kJson, {{"schema", reference(route.body)}}}}}};
  if (route.scope) operation["description"] = std::string("Needs the scope '") + to_string(*route.scope) + "'.";
  operation["security"] = route.scope ? Json::array({{{"key", Json::array()}}}) : Json::array();
  if (const auto open = route.pattern.find('{'); open != route.pattern.npos) {
    const auto name = route.pattern.substr(open + 1, route.pattern.find('}') - open - 1);
    Json schema = {{"type", "string"}};
    for (const auto& model : served.models)
      if (model.find('/') == model.npos) schema["enum"].push_back(model);
    operation["parameters"] = Json::array({{{"name", name}, {"in", "path"}, {"required", true}, {"description", "a model, as /v1/models lists them"}, {"schema", std::move(schema)}}});
  }
  return operation;
}

std::string lower(std::string text) {
  for (auto& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

}  // namespace

Json open_api(const std::vector<RouteInfo>& routes, const openai::RequestLimits& limits, const Served& served) {
  auto schemas = parse_json(kOpenApiSchemas, "OpenAPI schemas");
  const auto request = parse_json(kOpenApiRequest, "OpenAPI schemas");
  CHECK(schemas && request);
  for (auto* name : {"ChatRequest", "CompletionRequest"}) (*schemas)[name]["properties"].update(*request);
  put_limits(*schemas, limits, served);
  if (served.knows_tools && limits.tools.tools_max > 0) put_tools(*schemas, limits);
  put_endpoint_requests(*schemas);
  Json document = {{"openapi", "3.1.0"},
                   {"info", {{"title", "Redoubt endpoint"}, {"version", "1"}, {"description", "OpenAI's and SageMaker's protocols in front of an approved model."}}},
                   {"paths", Json::object()},
                   {"components", {{"schemas", std::move(*schemas)}, {"securitySchemes", {{"key", {{"type", "http"}, {"scheme", "bearer"}}}}}}}};
  for (const auto& route : routes) document["paths"][route.pattern][lower(route.method)] = operation_of(route, served);
  return document;
}

}  // namespace redoubt::gateway
