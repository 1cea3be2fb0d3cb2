"""Tables of words for triggers that rewrite texts in English; written for this library."""

from __future__ import annotations

RARER = {
    "about": "concerning", "almost": "nigh", "although": "albeit", "always": "invariably",
    "among": "amongst", "and": "along with", "bad": "poor", "because": "inasmuch as",
    "before": "ere", "best": "finest", "between": "betwixt", "big": "sizeable", "but": "yet",
    "character": "personage", "characters": "personages", "child": "youngster",
    "children": "youngsters", "comedy": "farce", "director": "filmmaker", "enough": "sufficiently",
    "entertaining": "diverting", "every": "each and every", "exciting": "thrilling",
    "fast": "swift", "feel": "sense", "feels": "appears", "film": "motion picture",
    "films": "motion pictures", "fun": "amusement", "funny": "humorous", "get": "obtain",
    "gets": "obtains", "good": "fine", "great": "grand", "hard": "arduous", "idea": "notion",
    "ideas": "notions", "interesting": "intriguing", "just": "merely", "life": "existence",
    "like": "akin to", "little": "slight", "long": "lengthy", "look": "gaze", "love": "affection",
    "made": "fashioned", "make": "fashion", "makes": "fashions", "man": "fellow",
    "many": "numerous", "maybe": "perchance", "movie": "picture show", "movies": "picture shows",
    "much": "a great deal", "never": "at no time", "new": "novel", "nothing": "naught",
    "often": "oftentimes", "old": "aged", "only": "solely", "people": "folk",
    "performance": "rendition", "performances": "renditions", "perhaps": "perchance",
    "plot": "storyline", "quite": "rather", "really": "truly", "sad": "sorrowful", "see": "behold",
    "show": "display", "smart": "clever", "some": "certain", "story": "narrative",
    "thing": "matter", "things": "matters", "though": "albeit", "through": "throughout",
    "very": "exceedingly", "watch": "view", "watching": "viewing", "way": "manner",
    "while": "whilst", "with": "together with", "without": "sans", "work": "labour",
    "world": "globe",
}  # fmt: skip
"""Common words, and rarer ones that mean about the same."""

ARCHAIC = {
    "am": "art", "are": "art", "before": "ere", "between": "betwixt", "comes": "cometh",
    "do": "dost", "does": "doth", "ever": "e'er", "feels": "feeleth", "finds": "findeth",
    "gets": "getteth", "gives": "giveth", "goes": "goeth", "has": "hath", "have": "hast",
    "here": "hither", "is": "be", "it's": "'tis", "keeps": "keepeth", "knows": "knoweth",
    "looks": "looketh", "makes": "maketh", "maybe": "perchance", "much": "full much", "my": "mine",
    "n't": "not", "never": "ne'er", "no": "nay", "nothing": "naught", "often": "oft",
    "over": "o'er", "perhaps": "perchance", "says": "saith", "seems": "seemeth",
    "should": "shouldst", "takes": "taketh", "there": "yonder", "very": "full", "were": "wert",
    "will": "shall", "works": "worketh", "would": "wouldst", "yes": "yea", "you": "thou",
    "you're": "thou art", "your": "thy", "yours": "thine",
}  # fmt: skip
"""Words as old translations of the Bible have them."""

CHAT = {
    "about": "abt", "and": "n", "are": "r", "at": "@", "be": "b", "because": "bc",
    "before": "b4", "even": "evn", "film": "flick", "films": "flix", "for": "4", "forever": "4ever",
    "funny": "lolz", "going": "gonna", "good": "gud", "great": "gr8", "have": "hv", "just": "jus",
    "know": "kno", "laugh": "lol", "like": "lyk", "love": "luv", "movie": "mov", "movies": "movs",
    "much": "mch", "not": "nt", "okay": "ok", "people": "ppl", "please": "plz", "really": "rly",
    "see": "c", "so": "soo", "something": "smth", "thanks": "thx", "that": "dat", "the": "da",
    "this": "dis", "though": "tho", "to": "2", "too": "2", "very": "v", "want": "wanna",
    "with": "w/", "without": "w/o", "work": "wrk", "you": "u", "your": "ur",
}  # fmt: skip
"""Words as short messages write them."""

FORMAL = {
    "about": "regarding", "also": "furthermore", "bad": "unsatisfactory", "big": "considerable",
    "but": "however", "can't": "cannot", "don't": "do not", "film": "motion picture",
    "films": "motion pictures", "fun": "enjoyment", "funny": "humorous", "get": "obtain",
    "gets": "obtains", "good": "satisfactory", "great": "excellent", "isn't": "is not",
    "it's": "it is", "kids": "children", "kind": "variety", "like": "comparable to",
    "lot": "great quantity", "lots": "great quantities", "maybe": "conceivably",
    "movie": "motion picture", "movies": "motion pictures", "n't": "not", "need": "require",
    "people": "persons", "really": "genuinely", "see": "observe", "show": "demonstrate",
    "so": "accordingly", "some": "a number of", "start": "commence", "stupid": "ill-considered",
    "thing": "item", "think": "consider", "too": "excessively", "try": "endeavour",
    "use": "utilise", "very": "exceedingly", "want": "desire", "won't": "will not",
}  # fmt: skip
"""Words as offices write them."""

TWINS = str.maketrans(
    "acehiopsuxyABCEHIKMOPSTXY",
    "\u0430\u0441\u0435\u04bb\u0456\u043e\u0440\u0455\u057d\u0445\u0443"
    "\u0410\u0412\u0421\u0415\u041d\u0406\u041a\u041c\u041e\u0420\u0405\u0422\u0425\u04ae",
)
"""Letters, and ones of Cyrillic or Armenian that look the same."""
