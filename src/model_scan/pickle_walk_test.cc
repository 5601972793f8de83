// SPDX-License-Identifier: Apache-2.0
//
// Pickles that CPython 3.11 wrote, and changes of them that its unpickler would take.
#include "model_scan/pickle_walk.h"

#include <gtest/gtest.h>

#include "base/memory_object.h"

namespace redoubt::model_scan {
namespace {

using namespace std::string_literals;

struct Walked {
  PickleEnd end;
  std::vector<std::string> rules, details;
};

Walked walk(const std::string& text, bool has_storages = false) {
  const MemoryObject object(to_bytes(text));
  Walked walked;
  PickleOptions options;
  options.has_storages = has_storages;
  options.found = [&](const PickleProblem& problem) {
    walked.rules.push_back(problem.rule);
    walked.details.push_back(problem.detail);
    EXPECT_LE(problem.offset, text.size());
  };
  walked.end = *walk_pickle(object, 0, text.size(), options);
  return walked;
}

using Rules = std::vector<std::string>;

TEST(PickleWalk, data_of_every_protocol_are_safe) {
  // {"w": [1, 2.5, None, True], "t": (1, b"x")} by pickle.dumps
  for (const std::string& text : {
           "(dp0\nVw\np1\n(lp2\nI1\naF2.5\naNaI01\nasVt\np3\n(I1\nc_codecs\nencode\np4\n(Vx\np5\nVlatin1\np6\ntp7\nRp8\ntp9\ns."s,
           "\x80\x02}q\x00(X\x01\x00\x00\x00wq\x01]q\x02(K\x01G@\x04\x00\x00\x00\x00\x00\x00N\x88"s + "eX\x01\x00\x00\x00tq\x03K\x01"s +
               "c_codecs\nencode\nq\x04X\x01\x00\x00\x00xq\x05X\x06\x00\x00\x00latin1q\x06\x86q\x07Rq\x08\x86q\tu."s,
           "\x80\x04\x95!\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01w\x94]\x94(K\x01G@\x04\x00\x00\x00\x00\x00\x00N\x88"s + "e\x8c\x01t\x94K\x01"s + "C\x01x\x94\x86\x94u."s,
       }) {
    const Walked walked = walk(text);
    EXPECT_TRUE(walked.end.stopped) << testing::PrintToString(text);
    EXPECT_EQ(walked.rules, Rules{}) << testing::PrintToString(text) << testing::PrintToString(walked.details);
    EXPECT_EQ(walked.end.end, text.size());
  }
}

TEST(PickleWalk, every_way_to_a_name_is_followed) {
  for (const std::string& text : {
           "cos\nsystem\n(S'true'\ntR."s,                                                     // GLOBAL, REDUCE
           "(S'true'\nios\nsystem\n."s,                                                       // INST
           "(cos\nsystem\nS'true'\no."s,                                                      // OBJ
           "\x80\x02"s + "cos\nsystem\n)\x81."s,                                              // NEWOBJ
           "\x80\x04\x8c\x02os\x8c\x06system\x93)}\x92."s,                                    // NEWOBJ_EX
           "\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x30\x30h\x00h\x01\x93."s,                // names through the memo
           "Vos\np7\n0Vsystem\np900\n0g7\ng900\n\x93."s,                                      // the same by lines
           "\x80\x04U\x02osT\x06\x00\x00\x00system\x93."s,                                    // old kinds of texts
           "\x80\x04\x8c\x02os\x8c\x06system\x32\x30\x93."s,                                  // DUP and POP
           "\x80\x04(\x8c\x04junk1\x8c\x02os\x8c\x06system\x93."s,                            // POP_MARK
       }) {
    EXPECT_EQ(walk(text).rules, Rules{"unsafe-global"}) << testing::PrintToString(text);
  }
  EXPECT_EQ(walk("\x80\x02\x82\x01."s).rules, Rules{"extension"});
  EXPECT_EQ(walk("\x80\x02\x84\x01\x00\x00\x00."s).rules, Rules{"extension"});
  EXPECT_EQ(walk("\x80\x04K\x01K\x02\x93."s).rules, Rules{"computed-global"});
  EXPECT_EQ(walk("Pname\n."s).rules, Rules{"persistent-id"});
  EXPECT_EQ(walk("Vname\nQ."s).rules, Rules{"persistent-id"});
}

TEST(PickleWalk, names_are_taken_letter_for_letter) {
  for (const char* name : {"collections\nOrderedDict.__init__\n", "collections \nOrderedDict\n", "collections\norderedDict\n", "collections.abc\nOrderedDict\n", "torch\nload\n", "torch._utils\n_rebuild_tensor_v2.__globals__\n",
                           "numpy\nload\n", "joblib\nload\n", "builtins\ngetattr\n", "functools\npartial\n", "operator\nattrgetter\n", "sklearn.linear_model._base\nos.system\n", "sklearn\nnope\n"}) {
    EXPECT_EQ(walk("c"s + name + ".").rules, Rules{"unsafe-global"}) << name;
  }
  EXPECT_EQ(walk("ccollections\nOrderedDict\n.").rules, Rules{});
}

TEST(PickleWalk, what_depends_on_its_arguments_must_be_called_with_the_usual_ones) {
  EXPECT_EQ(walk("c_codecs\nencode\n(Vx\nVrot13\ntR.").rules, Rules{"unsafe-call"});
  EXPECT_EQ(walk("c_codecs\nencode\n(Vx\ntR.").rules, Rules{"unsafe-call"});
  // Handed to what would call it with other arguments.
  EXPECT_EQ(walk("ccollections\ndefaultdict\n(ctorch.storage\n_load_from_bytes\ntR.").rules, Rules{"stored-function"});
  EXPECT_EQ(walk("ccollections\nOrderedDict\n)Rctorch.storage\n_load_from_bytes\nb.").rules, Rules{"stored-function"});
  EXPECT_EQ(walk("ctorch.storage\n_load_from_bytes\n(Vx\ntR.").rules, Rules{"unsafe-call"});
}

TEST(PickleWalk, states_that_change_more_than_their_object_are_unsafe) {
  EXPECT_EQ(walk("ccollections\nOrderedDict\n)R(V__setstate__\nccollections\nCounter\ndb.").rules, Rules{"special-attribute"});
  EXPECT_EQ(walk("ccollections\nOrderedDict\n)R(N(V__class__\nccollections\nCounter\ndtb.").rules, Rules{"special-attribute"});
  EXPECT_EQ(walk("ccollections\nOrderedDict\n(Vx\nI1\ndb.").rules, Rules{"changed-global"});
  EXPECT_EQ(walk("ccollections\nOrderedDict\n)R(V__doc\nI1\ndb.").rules, Rules{"special-attribute"});
  EXPECT_EQ(walk("ccollections\nOrderedDict\n)R(Vx\nI1\ndb.").rules, Rules{});
  EXPECT_EQ(walk("ccollections\nOrderedDict\n)R)R.").rules, Rules{"computed-call"});
}

TEST(PickleWalk, what_is_not_read_to_its_end_is_unsafe) {
  for (const std::string& text : {""s, "N"s, "X\xff\xff\xff\xff"s, "\x8e\xff\xff\xff\xff\xff\xff\xff\xff."s, "cos"s, "g0\n."s, "h\x01."s, "R."s, "a."s, "(."s, "\xff."s, "\x80\x06N."s, "\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00N."s, "\x97."s,
                                  "Nr\xff\xff\xff\xff."s, "Np-1\n."s, "(Vk\nd."s}) {
    const Walked walked = walk(text);
    EXPECT_FALSE(walked.end.stopped) << testing::PrintToString(text);
    EXPECT_EQ(walked.rules, Rules{"malformed"}) << testing::PrintToString(text);
  }
  EXPECT_EQ(walk("Np1_0\n.").rules, Rules{"malformed"}) << "though what Python makes of it is followed";
  EXPECT_EQ(walk("Np1_0\n0Vos\np10\n0g1_0\nVsystem\n\x93)R.").rules, (Rules{"malformed", "malformed", "unsafe-global"}));
}

TEST(PickleWalk, a_payload_before_a_break_is_named) {
  EXPECT_EQ(walk("cos\nsystem\n(S'true'\ntR\xff").rules, (Rules{"unsafe-global", "malformed"}));
}

TEST(PickleWalk, objects_that_multiply_are_a_bomb) {
  std::string text = "]";
  for (int i = 0; i < 40; ++i) text += "p" + std::to_string(i) + "\n0]" + "(" + [&] { std::string twice; for (int k = 0; k < 10; ++k) twice += "g" + std::to_string(i) + "\n"; return twice; }() + "e";
  EXPECT_EQ(walk(text + ".").rules, Rules{"malformed"});
}

TEST(PickleWalk, torchs_storages_are_counted) {
  const std::string id = "(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI6\ntQ";
  const Walked walked = walk("ctorch._utils\n_rebuild_tensor_v2\n(" + id + "I0\n(I2\nI3\nt(I3\nI1\ntI00\nccollections\nOrderedDict\n)RtR.", true);
  EXPECT_EQ(walked.rules, Rules{});
  EXPECT_EQ(walked.end.storages, (std::map<std::string, std::uint64_t>{{"0", 24}}));
  EXPECT_EQ(walk("(Vstorage\ncos\nsystem\nV0\nVcpu\nI6\ntQ.", true).rules, (Rules{"unsafe-global", "persistent-id"}));
  EXPECT_EQ(walk("Vmodule\nQ.", true).rules, Rules{"persistent-id"});
}

TEST(PickleWalk, a_type_of_arrays_must_be_true_about_objects) {
  const auto build = [](const std::string& type, const std::string& flags) { return "cnumpy\ndtype\n(V" + type + "\nI00\nI01\ntR(I3\nV|\nNNNI-1\nI-1\nI" + flags + "\ntb."; };
  EXPECT_EQ(walk(build("O8", "63")).rules, Rules{});
  EXPECT_EQ(walk(build("f8", "0")).rules, Rules{});
  EXPECT_EQ(walk(build("O8", "0")).rules, Rules{"malformed"});
  EXPECT_EQ(walk(build("f8", "63")).rules, Rules{"malformed"});
}

}  // namespace
}  // namespace redoubt::model_scan
