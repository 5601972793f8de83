// SPDX-License-Identifier: Apache-2.0
//
// Carries the precompiled header of libtorch that the engine's folders share.
