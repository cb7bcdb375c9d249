"""Media servers, one small file each: who publishes there, how one session is cut, what its publish hooks say."""
