"""Pulls streams: RTMP, HLS and files, keyframes only. Everything here meets hostile bytes."""
